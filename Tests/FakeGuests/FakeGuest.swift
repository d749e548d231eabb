// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Synchronization

@testable import Devices

/// A guest's memory and grant table, on the real machines, without a processor: frame n is at n × 4096, frame 0 is
/// the grant table's.
public final class FakeGuest: GrantHost, @unchecked Sendable {
  public static let domain = DomainID(1)
  /// How many frames there are.
  public static let frameCount = 64
  public let table: GrantTableGuest
  private let memory: FakeMemory
  private let lock = Mutex(())
  private let tables: any GrantTables

  /// All of its memory is 0, and nothing granted.
  /// - Parameter foreignFrames: how many of the last frames are another domain's.
  public init(foreignFrames: Int = 0) {
    memory = FakeMemory(foreignFrames: foreignFrames)
    table = GrantTableGuest(entries: memory.base, frames: 1)
    tables = OptimisedMachinery().makeGrantTables(frames: memory, memory: memory)
    _ = tables.addDomain(.host, maximumFrames: 0, maximumHandles: 2000)
    _ = tables.addDomain(Self.domain, maximumFrames: 1, maximumHandles: 64)
    _ = tables.grow(Self.domain, entries: memory.base)
  }

  public func page(_ frame: Int) -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: memory.base + frame * frameSize, count: frameSize)
  }

  /// Grants a frame to the host under its own number.
  public func grant(_ frame: Int, readOnly: Bool = false) {
    table.grantAccess(GrantReference(UInt32(frame)), to: .host, frame: UInt32(frame), readOnly: readOnly)
  }

  /// Whose a frame is; nil if there is no such frame.
  public func owner(of frame: MachineFrame) -> DomainID? { memory.owner(of: frame) }

  /// Frames that somebody still maps.
  public var mappedFrames: [UInt64] {
    memory.references.filter { $0.value > 0 }.keys.map(\.rawValue).sorted()
  }

  // MARK: the host's side

  public func withGrants<Result>(_ body: (any GrantTables) throws -> Result) rethrows -> Result {
    try lock.withLock { _ in try body(tables) }
  }

  public func bytes(of frame: MachineFrame) -> UnsafeMutableRawPointer? { memory.bytes(of: frame) }
}

/// Frames of the guest's, and then some of another domain's.
private final class FakeMemory: FrameOwnership, FrameMemory, @unchecked Sendable {
  let frameCount = FakeGuest.frameCount
  private let ownFrames: Int
  let base: UnsafeMutableRawPointer
  private(set) var references: [MachineFrame: Int] = [:]

  init(foreignFrames: Int) {
    ownFrames = frameCount - foreignFrames
    base = .allocate(byteCount: frameCount * frameSize, alignment: frameSize)
    base.initializeMemory(as: UInt8.self, repeating: 0, count: frameCount * frameSize)
  }

  deinit { base.deallocate() }

  func bytes(of frame: MachineFrame) -> UnsafeMutableRawPointer? {
    frame.rawValue < UInt64(frameCount) ? base + Int(frame.rawValue) * frameSize : nil
  }

  func owner(of frame: MachineFrame) -> DomainID? {
    guard frame.rawValue < UInt64(frameCount) else { return nil }
    return frame.rawValue < UInt64(ownFrames) ? FakeGuest.domain : DomainID(2)
  }

  func retain(_ frame: MachineFrame, ownedBy domain: DomainID) -> Bool {
    guard owner(of: frame) == domain else { return false }
    references[frame, default: 0] += 1
    return true
  }

  func isUnused(_ frame: MachineFrame) -> Bool { references[frame, default: 0] == 0 }

  func release(_ frame: MachineFrame) { references[frame, default: 0] -= 1 }

  func transfer(_ frame: MachineFrame, from: DomainID, to: DomainID) -> Bool { false }
}
