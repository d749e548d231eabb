// SPDX-License-Identifier: Apache-2.0

import Hypervisor
import Interfaces

/// Fills a new domain's memory, in the way of its kind of guest.
protocol GuestBuilder {
  /// The frames of the rings of store and console.
  var storeFrame: GuestFrame { get }
  var consoleFrame: GuestFrame { get }
  /// The frame that the hypervisor is to fill with ways to call it; nil if the kernel asks for it itself.
  var hypercallFrame: GuestFrame? { get }

  /// Moves what later lives are built from out of this process's memory, if the system has a place for it.
  mutating func keepOutOfMemory()

  /// Writes everything but the hypercall page and the shared-info page, which are the hypervisor's.
  /// - Precondition: `memory` is all zero and has as many frames as the builder was made for.
  /// - Returns: where the first processor begins.
  /// - Throws: if what is to be written cannot be read any more.
  func fill(_ memory: GuestMemory, _ surroundings: Surroundings) throws(ImageProblem) -> FirstState
}

/// What a guest is told of the rest of its world.
struct Surroundings {
  var sharedInfo: MachineAddress
  var storePort: EventPort
  var consolePort: EventPort
}

extension KeptContent {
  /// Moves a content out of this process's memory, if it lies there.
  static func keep(_ content: inout any ImageContent) {
    guard let bytes = content as? [UInt8], !bytes.isEmpty else { return }
    content = KeptContent(bytes) ?? content
  }
}

extension GuestMemory {
  /// Writes a part of a content to an offset from the beginning of guest memory.
  func write(_ content: any ImageContent, _ range: Range<Int>, at offset: UInt64) throws(ImageProblem) {
    var place = offset
    try content.read(range) { piece in
      write(piece, at: place)
      place += UInt64(piece.count)
    }
  }

  /// Writes bytes to an offset from the beginning of guest memory.
  func write(_ bytes: [UInt8], at offset: UInt64) { bytes.withUnsafeBytes { write($0, at: offset) } }
}
