// SPDX-License-Identifier: Apache-2.0
//
// How the byte stream's implementation and its specification correspond. An access of the implementation is a step of
// the specification: a load or a store of an index, or one byte. Indices have 32 bits in the implementation and may
// have fewer in the specification: both wrap, and a difference that the smaller size cannot tell (it is far beyond the
// stream's size) stands for all such.

import Interfaces
import Logic
import Machines
import Specs

/// One memory access of a stream's side.
enum StreamAccess: Hashable {
  case load(StreamIndex)
  case store(StreamIndex, UInt32)
  /// One byte, at a free-running position.
  case read(UInt32)
  case write(UInt32)
}

/// The names of the specification's states and actions, as numbers.
final class StreamModel: Sendable {
  static let steps = Cases<StreamStep>()
  static let sights = Cases<Sight>()

  let programs: ProgramSet
  let look, write, read, publish, notify, wake: Int
  let drainByte, drainIndex, scribbleIndex, poke: Int

  /// By role.
  let position, published, known, step, shared, hostile, buffered, event: [Int]
  let size, drained: Int
  /// All ones in an index of the specification.
  let indexMask: UInt64

  /// - Parameter bits: of an index in the specification, 2 … 16; the size must be at most half of 2^bits.
  init(bits: Int) {
    indexMask = mask(bits)
    let scope = Scope(name: "indices of \(bits) bits", counts: ["Index": 1 << UInt64(bits)])
    programs = .compiled(try Stream().trace(), at: scope)
    let (specification, layout) = (programs.layout.specification, programs.layout)
    look = specification.action("look")
    write = specification.action("write")
    read = specification.action("read")
    publish = specification.action("publish")
    notify = specification.action("notify")
    wake = specification.action("wake")
    drainByte = specification.action("drainByte")
    drainIndex = specification.action("drainIndex")
    scribbleIndex = specification.action("scribbleIndex")
    poke = specification.action("poke")
    func byRole(_ component: String) -> [Int] {
      StreamRole.allCases.map { layout.require(component, [$0.rawValue]) }
    }
    position = byRole("own.position")
    published = byRole("own.published")
    known = byRole("own.known")
    step = byRole("own.step")
    shared = byRole("shared")
    hostile = byRole("hostile")
    buffered = byRole("buffered")
    event = byRole("event")
    size = layout.require("size")
    drained = layout.require("drained")
  }

  func reduced(_ index: UInt32) -> UInt64 { UInt64(index) & indexMask }

  /// A difference as the specification's indices can tell it: all that are too large are one.
  func reducedDifference(_ difference: UInt32) -> UInt64 { min(UInt64(difference), indexMask) }

  /// The step of the specification that an access of a side is, given where the side stands.
  /// - Throws: why there is none.
  func action(
    for access: StreamAccess, of role: StreamRole, _ own: StreamPositions
  ) throws(Inadmissible) -> Int {
    switch (access, role) {
    case (.load(role.peer.index), _): return look
    case (.load(let index), _): throw Inadmissible("it loads the \(index), an index that it keeps itself")
    case (.store(role.index, let value), _):
      if value != own.position {
        throw Inadmissible("it stores \(value) as \(role.index), having come to \(own.position)")
      }
      return publish
    case (.store(let index, _), _): throw Inadmissible("it stores to the \(index), its peer's index")
    case (.read(let position), .reader):
      if position != own.position {
        throw Inadmissible("it reads byte \(position), and \(own.position) is next")
      }
      return read
    case (.write(let position), .writer):
      if position != own.position {
        throw Inadmissible("it writes byte \(position), and \(own.position) is next")
      }
      return write
    case (.read, .writer): throw Inadmissible("the writer reads a byte")
    case (.write, .reader): throw Inadmissible("the reader writes a byte")
    }
  }
}
