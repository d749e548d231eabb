// SPDX-License-Identifier: Apache-2.0

import Glibc
import Interfaces
import Machines

/// How a driver makes the grant tables that it tries: the optimised ones, or ones with a bug planted in them.
public struct GrantsMaker: Sendable {
  let make: @Sendable (any FrameOwnership, any FrameMemory, TappedGrantEntries) -> any InspectableGrantTables

  public init(
    _ make:
      @escaping @Sendable (any FrameOwnership, any FrameMemory, TappedGrantEntries) ->
      any InspectableGrantTables
  ) { self.make = make }

  public static let optimised = GrantsMaker { GrantMachine(frames: $0, memory: $1, entries: $2) }
}

/// A small host: frames, tables in memory, and grant tables.
///
/// The model's frame f is machine frame f, of a few bytes. Behind them each domain has one more frame that is always its
/// own, for the other end of a copy. The model's references are some of the first two frames of a table.
final class GrantsWorld {
  let model: GrantsModel
  let frames: SmallFrames
  let frameTap: FrameTap
  let tap = GrantTap()
  let tables: any InspectableGrantTables
  private let memory: UnsafeMutableRawPointer
  /// Frames of a table that hold references of the model.
  let tableFrames: Int

  init(_ model: GrantsModel, _ maker: GrantsMaker) {
    self.model = model
    frames = SmallFrames(count: model.frames, domains: model.domains, maximumReferences: model.largestUse)
    frameTap = FrameTap(frames)
    tables = maker.make(frameTap, frames, TappedGrantEntries(tap))
    tableFrames = (model.references + GrantEntry.perFrame - 1) / GrantEntry.perFrame
    memory = UnsafeMutableRawPointer.allocate(
      byteCount: model.domains * tableFrames * frameSize, alignment: frameSize)
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: model.domains * tableFrames * frameSize)
  }

  deinit { memory.deallocate() }

  /// No domain is there, and no frame is anybody's.
  func reset() {
    tables.restore([])
    frames.reset(modelled: model.frames)
    frameTap.reset()
  }

  /// Puts a frame of the model into a state.
  func restore(_ frame: Int, owner: DomainID?, references: UInt64) {
    frames.restore(frame, owner: owner, references: references)
    frameTap.restore(MachineFrame(UInt64(frame)), references: Int(references))
  }

  /// A frame that is always the domain's own.
  func ownFrame(of domain: Int) -> MachineFrame { MachineFrame(UInt64(model.frames + domain)) }

  /// The memory of a frame of a domain's table, all zero.
  func newTableFrame(_ domain: Int, _ index: Int) -> UnsafeMutableRawPointer {
    let frame = memory + (domain * tableFrames + index) * frameSize
    frame.initializeMemory(as: UInt8.self, repeating: 0, count: frameSize)
    return frame
  }

  /// A domain's own side of its table.
  func guest(_ domain: Int) -> GrantTableGuest {
    GrantTableGuest(entries: tableMemory(domain), frames: tableFrames, domain: DomainID(UInt16(domain)))
  }

  /// A domain's table.
  func tableMemory(_ domain: Int) -> UnsafeMutableRawPointer { memory + domain * tableFrames * frameSize }

  private func address(_ domain: Int, _ reference: Int) -> UnsafeMutableRawPointer {
    tableMemory(domain) + reference * GrantEntry.size
  }

  /// An entry as it lies in memory.
  func entry(_ domain: Int, _ reference: Int) -> GrantsEntry {
    let address = address(domain, reference)
    let word = GrantWord(rawValue: address.load(as: UInt32.self))
    return GrantsEntry(
      type: UInt64(word.flags.intersection(.typeMask).rawValue), bit2: word.flags.contains(.readOnly),
      bit3: word.flags.contains(.reading), bit4: word.flags.contains(.writing),
      domain: UInt64(word.domain.rawValue),
      frame: UInt64(address.load(fromByteOffset: 4, as: UInt32.self)))
  }

  /// Stores an entry, as its domain does.
  func store(_ entry: GrantsEntry, _ domain: Int, _ reference: Int) {
    let address = address(domain, reference)
    var flags = GrantFlags(rawValue: UInt16(entry.type))
    if entry.bit2 { flags.insert(.readOnly) }
    if entry.bit3 { flags.insert(.reading) }
    if entry.bit4 { flags.insert(.writing) }
    let word = GrantWord(flags, DomainID(UInt16(entry.domain)))
    address.storeBytes(of: UInt32(entry.frame), toByteOffset: 4, as: UInt32.self)
    address.storeBytes(of: word.rawValue, as: UInt32.self)
  }
}

/// A few frames with owners and references.
final class SmallFrames: FrameOwnership, FrameMemory {
  private(set) var owners: [DomainID?]
  private(set) var references: [UInt64]
  /// A reference dropped that nobody had.
  private(set) var overdrawn = false
  private let maximumReferences: UInt64
  let pool: UnsafeMutableRawPointer

  /// `count` frames of the model, nobody's, and one for each of `domains`, its own.
  init(count: Int, domains: Int, maximumReferences: UInt64) {
    owners = Array(repeating: nil, count: count) + (0..<domains).map { DomainID(UInt16($0)) }
    references = Array(repeating: 0, count: count + domains)
    self.maximumReferences = maximumReferences
    pool = UnsafeMutableRawPointer.allocate(byteCount: owners.count * frameSize, alignment: frameSize)
    pool.initializeMemory(as: UInt8.self, repeating: 0, count: owners.count * frameSize)
  }

  deinit { pool.deallocate() }

  private func index(_ frame: MachineFrame) -> Int? {
    frame.rawValue < UInt64(owners.count) ? Int(frame.rawValue) : nil
  }

  /// Gives all frames together the bytes.
  func fill(_ bytes: [UInt8]) {
    UnsafeMutableRawBufferPointer(start: pool, count: owners.count * frameSize).copyBytes(from: bytes)
  }

  /// Whether all frames together hold the bytes.
  func hold(_ bytes: [UInt8]) -> Bool {
    bytes.withUnsafeBytes { expected in
      guard let first = expected.baseAddress else { return true }
      return memcmp(first, pool, expected.count) == 0
    }
  }

  func assign(_ frame: Int, to domain: DomainID?) { owners[frame] = domain }

  /// Takes a domain's frames away, of the first `count`.
  func disown(_ domain: DomainID, upTo count: Int) {
    for frame in 0..<count where owners[frame] == domain { owners[frame] = nil }
  }

  /// The first `count` frames are nobody's, and none is in use.
  func reset(modelled count: Int) {
    for frame in owners.indices {
      if frame < count { owners[frame] = nil }
      references[frame] = 0
    }
  }

  /// Puts a frame into a state.
  func restore(_ frame: Int, owner: DomainID?, references: UInt64) {
    owners[frame] = owner
    self.references[frame] = references
  }

  func owner(of frame: MachineFrame) -> DomainID? { index(frame).flatMap { owners[$0] } }
  func isUnused(_ frame: MachineFrame) -> Bool { index(frame).map { references[$0] == 0 } ?? false }

  func retain(_ frame: MachineFrame, ownedBy domain: DomainID) -> Bool {
    guard let index = index(frame), owners[index] == domain, references[index] < maximumReferences else {
      return false
    }
    references[index] += 1
    return true
  }

  func release(_ frame: MachineFrame) {
    guard let index = index(frame), references[index] > 0 else {
      overdrawn = true
      return
    }
    references[index] -= 1
  }

  func transfer(_ frame: MachineFrame, from: DomainID, to: DomainID) -> Bool {
    guard let index = index(frame), owners[index] == from, references[index] == 0 else { return false }
    owners[index] = to
    return true
  }

  var frameCount: Int { owners.count }

  func bytes(of frame: MachineFrame) -> UnsafeMutableRawPointer? {
    index(frame).map { pool + $0 * frameSize }
  }
}
