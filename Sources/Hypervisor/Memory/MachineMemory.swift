// SPDX-License-Identifier: Apache-2.0

import Glibc
import Interfaces
import KVM
import Synchronization

/// A host's memory: one memfd, mapped once, cut into 4 KiB frames, and who owns each.
///
/// The first `monitorFrameCount` frames are the monitor's: stubs, shadow tables, the machine-to-physical table.
/// They have no owner, and nothing a guest names can reach them. All others are free or owned by one domain; a
/// frame with references keeps its owner. A frame's page is given back to the system before the frame is free: what is
/// free is zero, and takes none of the system's memory.
public final class MachineMemory: FrameOwnership, FrameMemory, @unchecked Sendable {
  /// Frames in all, the monitor's included. The first that is out of range.
  public let frameCount: Int
  /// Frames at the beginning that are the monitor's.
  public let monitorFrameCount: Int
  /// The pool's first byte in this process.
  public let base: UnsafeMutableRawPointer

  /// The monitor's own frames: pieces for stubs, shadow tables, processor tables.
  let monitor: MonitorFrames
  /// The machine-to-physical table, readable by all guests.
  let machineToPhysical: MachineToPhysical

  private struct State {
    var references: [UInt32]
    var free: [UInt32]
  }
  /// The domains that do not name machine frames, and what theirs are.
  private let names = Mutex<[DomainID: PhysicalToMachine]>([:])
  private static let nobody: UInt16 = 0xffff
  /// Of a frame on its way to be free.
  private static let cleared: UInt16 = 0xfffe
  /// The owner of each frame. Written with the lock held; read without it at every page fault, where the domain's
  /// own lock keeps the domain's own frames from being given away.
  private let owners: UnsafeMutablePointer<Atomic<UInt16>>
  private let state: Mutex<State>
  /// What `base` maps; virtual machines get it as their memory.
  let file: MemoryFile

  /// Sets a pool up; pages are taken from the system only when they are touched.
  /// - Parameters:
  ///   - guestFrames: frames for domains, 1 … 2²⁸.
  ///   - monitorFrames: frames for the monitor beside the machine-to-physical table; nil: enough for a large domain, or
  ///     for several small ones, and more where there is more memory. Each frame costs some 30 bytes in tables.
  public init(guestFrames: Int, monitorFrames: Int? = nil) throws(HostError) {
    let monitorFrames = monitorFrames ?? 8192 + min(guestFrames / 8, 57344)
    guard (1...(1 << 28)).contains(guestFrames), (1024...(1 << 24)).contains(monitorFrames) else {
      throw .badConfiguration("a host's memory must be between 4 KiB and 1 TiB")
    }
    let tableFrames = MachineToPhysical.frames(covering: guestFrames + monitorFrames)
    let reserved = tableFrames + monitorFrames
    let count = reserved + guestFrames
    do throws(KVMError) {
      file = try MemoryFile(name: "lockstep-machine", byteCount: count * frameSize)
    } catch {
      throw .kvm(error)
    }
    base = file.base
    frameCount = count
    monitorFrameCount = reserved
    monitor = MonitorFrames(first: tableFrames, count: monitorFrames)
    machineToPhysical = MachineToPhysical(
      base: file.base.assumingMemoryBound(to: UInt64.self), frameCount: count, tableFrames: tableFrames)
    owners = .allocate(capacity: count)
    for index in 0..<count { (owners + index).initialize(to: Atomic(Self.nobody)) }
    state = Mutex(
      State(references: Array(repeating: 0, count: count), free: (reserved..<count).map(UInt32.init)))
  }

  deinit {
    owners.deinitialize(count: frameCount)
    owners.deallocate()
  }

  /// Frames that nobody owns and that can be allocated now.
  public var freeFrames: Int { state.withLock { $0.free.count } }

  /// Gives a domain a free frame, all zero.
  public func allocate(for domain: DomainID) throws(HostError) -> MachineFrame {
    let frame: MachineFrame? = state.withLock { state in
      guard let index = state.free.popLast() else { return nil }
      setOwner(Int(index), domain.rawValue)
      return MachineFrame(UInt64(index))
    }
    guard let frame else { throw .outOfFrames(needed: 1, free: 0) }
    return frame
  }

  /// Gives a domain `count` free frames, all zero, whose numbers follow one another; the first is a multiple of `count`.
  ///
  /// More than one are looked for in the whole pool: that takes a time that grows with it.
  /// - Parameter count: a power of two.
  /// - Returns: the first of them; nil if there are no such frames.
  func allocate(contiguous count: Int, for domain: DomainID) -> MachineFrame? {
    if count == 1 { return try? allocate(for: domain) }
    return state.withLock { state in
      guard let first = firstFree(count) else { return nil }
      let frames = UInt32(first)..<UInt32(first + count)
      state.free.removeAll { frames.contains($0) }
      for index in frames { setOwner(Int(index), domain.rawValue) }
      return MachineFrame(UInt64(first))
    }
  }

  /// The first of `count` free frames that follow one another. Called with the lock held.
  private func firstFree(_ count: Int) -> Int? {
    let begin = (monitorFrameCount + count - 1) / count * count
    return stride(from: begin, through: frameCount - count, by: count).first { first in
      (first..<first + count).allSatisfy { owner(at: $0) == Self.nobody }
    }
  }

  /// Gives a domain `count` free frames, all zero: all of them or none.
  public func allocate(_ count: Int, for domain: DomainID) throws(HostError) -> [MachineFrame] {
    let (frames, free): ([MachineFrame]?, Int) = state.withLock { state in
      guard count >= 0, state.free.count >= count else { return (nil, state.free.count) }
      let taken = Array(state.free.suffix(count).reversed())
      state.free.removeLast(count)
      for index in taken { setOwner(Int(index), domain.rawValue) }
      return (taken.map { MachineFrame(UInt64($0)) }, 0)
    }
    guard let frames else { throw .outOfFrames(needed: count, free: free) }
    return frames
  }

  /// Takes a frame back: its page is given back, then it is free.
  ///
  /// The caller has made sure that no processor of the domain can reach it any more.
  /// - Returns: false, and nothing happens, unless `domain` owns the frame and it has no references.
  public func free(_ frame: MachineFrame, ownedBy domain: DomainID) -> Bool {
    guard let index = guestIndex(frame), disown(index, domain) else { return false }
    clear(index..<index + 1)
    return true
  }

  /// Takes a frame from its owner, unless it has references or another owner: it is to be cleared.
  private func disown(_ index: Int, _ domain: DomainID) -> Bool {
    state.withLock { state in
      guard owner(at: index) == domain.rawValue, state.references[index] == 0 else {
        return false
      }
      setOwner(index, Self.cleared)
      return true
    }
  }

  /// Scrubs frames that were taken from their owner; then they are free.
  private func clear(_ frames: Range<Int>) {
    guard !frames.isEmpty else { return }
    let bytes = frames.lowerBound * frameSize..<frames.upperBound * frameSize
    if !file.giveBack(bytes) { memset(base + bytes.lowerBound, 0, bytes.count) }
    for index in frames { machineToPhysical.invalidate(MachineFrame(UInt64(index))) }
    state.withLock { state in
      for index in frames { setOwner(index, Self.nobody) }
      state.free.append(contentsOf: frames.lazy.map(UInt32.init))
    }
  }

  /// Takes back all frames of a domain that has ended.
  /// - Returns: false if some have references, and stay the domain's.
  func freeAll(ownedBy domain: DomainID) -> Bool {
    var all = true
    // Frames that follow one another are given back in one piece.
    var piece = 0..<0
    for index in monitorFrameCount..<frameCount where owner(at: index) == domain.rawValue {
      guard disown(index, domain) else {
        all = false
        continue
      }
      if piece.upperBound != index {
        clear(piece)
        piece = index..<index
      }
      piece = piece.lowerBound..<index + 1
    }
    clear(piece)
    return all
  }

  public func owner(of frame: MachineFrame) -> DomainID? {
    guard let index = guestIndex(frame) else { return nil }
    let owner = owner(at: index)
    return owner == Self.nobody || owner == Self.cleared ? nil : DomainID(owner)
  }

  public func retain(_ frame: MachineFrame, ownedBy domain: DomainID) -> Bool {
    guard let index = guestIndex(frame) else { return false }
    return state.withLock { state in
      guard owner(at: index) == domain.rawValue, state.references[index] < maximumFrameReferences else {
        return false
      }
      state.references[index] += 1
      return true
    }
  }

  public func isUnused(_ frame: MachineFrame) -> Bool {
    guard let index = guestIndex(frame) else { return false }
    return state.withLock { $0.references[index] == 0 }
  }

  public func release(_ frame: MachineFrame) {
    guard let index = guestIndex(frame) else { return }
    state.withLock { state in
      precondition(state.references[index] > 0, "a reference was dropped that nobody took")
      state.references[index] -= 1
    }
  }

  public func transfer(_ frame: MachineFrame, from: DomainID, to: DomainID) -> Bool {
    // Who names frames in a way of its own would not know the frame by what the entry then says.
    guard let index = guestIndex(frame), to < .firstReserved, names.withLock({ $0[from] ?? $0[to] }) == nil
    else { return false }
    return state.withLock { state in
      guard owner(at: index) == from.rawValue, state.references[index] == 0 else {
        return false
      }
      setOwner(index, to.rawValue)
      return true
    }
  }

  public func machineFrameNumber(_ number: UInt32, namedBy domain: DomainID) -> UInt32 {
    guard let map = names.withLock({ $0[domain] }) else { return number }
    return map[GuestFrame(UInt64(number))].map { UInt32($0.rawValue) } ?? UInt32.max
  }

  /// The domain names its frames by such numbers; nil: by those of the machine.
  func setNames(_ map: PhysicalToMachine?, of domain: DomainID) { names.withLock { $0[domain] = map } }

  public func bytes(of frame: MachineFrame) -> UnsafeMutableRawPointer? {
    guard frame.rawValue < UInt64(frameCount) else { return nil }
    return base + Int(frame.rawValue) * frameSize
  }

  private func owner(at index: Int) -> UInt16 { owners[index].load(ordering: .acquiring) }

  private func setOwner(_ index: Int, _ owner: UInt16) { owners[index].store(owner, ordering: .releasing) }

  /// The index of a frame that may belong to a domain; nil for the monitor's and those out of range.
  private func guestIndex(_ frame: MachineFrame) -> Int? {
    guard frame.rawValue >= UInt64(monitorFrameCount), frame.rawValue < UInt64(frameCount) else { return nil }
    return Int(frame.rawValue)
  }
}
