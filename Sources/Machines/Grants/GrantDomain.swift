// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What a mapping, or a copy while it lasts, does with a frame.
struct GrantUse {
  var readOnly: Bool
  /// Through the processors' page tables.
  var host: Bool
  /// Through devices.
  var device: Bool
}

/// How many uses of each kind an entry has.
struct GrantPins: Hashable {
  /// Of each kind. Kept below 2⁷ so that a count never wraps, as the ABI's hypervisors do.
  static let maximum: UInt8 = 127

  var hostRead: UInt8 = 0
  var hostWrite: UInt8 = 0
  var deviceRead: UInt8 = 0
  var deviceWrite: UInt8 = 0

  var isEmpty: Bool { hostRead | hostWrite | deviceRead | deviceWrite == 0 }
  var hasWrite: Bool { hostWrite | deviceWrite != 0 }

  /// The shared flags that these pins call for.
  var flags: GrantFlags { isEmpty ? [] : hasWrite ? .inUse : .reading }

  /// The pins with one more use; nil if a count is at its maximum.
  func adding(_ use: GrantUse) -> GrantPins? {
    var pins = self
    if use.host, !Self.increment(&pins[keyed: use.readOnly, device: false]) { return nil }
    if use.device, !Self.increment(&pins[keyed: use.readOnly, device: true]) { return nil }
    return pins
  }

  /// The pins with one use fewer, which is among them.
  func removing(_ use: GrantUse) -> GrantPins {
    var pins = self
    if use.host { pins[keyed: use.readOnly, device: false] -= 1 }
    if use.device { pins[keyed: use.readOnly, device: true] -= 1 }
    return pins
  }

  private static func increment(_ count: inout UInt8) -> Bool {
    if count >= maximum { return false }
    count += 1
    return true
  }

  private subscript(keyed readOnly: Bool, device device: Bool) -> UInt8 {
    get { device ? (readOnly ? deviceRead : deviceWrite) : (readOnly ? hostRead : hostWrite) }
    set {
      switch (device, readOnly) {
      case (false, true): hostRead = newValue
      case (false, false): hostWrite = newValue
      case (true, true): deviceRead = newValue
      case (true, false): deviceWrite = newValue
      }
    }
  }
}

/// What the hypervisor itself remembers of an entry. Frame and domain were read when the first pin was taken and
/// mean something only while there are pins; the guest may meanwhile have written anything to the entry.
struct ActiveGrant {
  var frame = MachineFrame(0)
  var domain = DomainID(0)
  var pins = GrantPins()
}

/// One mapping of another domain's grant, or a free place for one.
struct HandleSlot {
  /// In `nextFree` of the last free slot.
  static let endOfList = UInt32.max

  var granter = DomainID(0)
  var reference = GrantReference(0)
  /// Which parts are mapped; a slot with neither is free.
  var use = GrantUse(readOnly: false, host: false, device: false)
  /// The next free slot; only in a free one.
  var nextFree = endOfList

  var isFree: Bool { !use.host && !use.device }
}

/// One domain's entries, and its mappings of others' entries. All memory is allocated when the domain begins and
/// when its table grows, none by an operation.
final class GrantDomain {
  let id: DomainID
  let maximumFrames: Int
  /// Being removed: it makes no calls, and nothing new is taken from it.
  var isDying = false
  /// How many handles, of all domains, name entries of this one.
  var mappingCount = 0

  /// The table's frames, in the order in which they came.
  private(set) var frames: ContiguousArray<UnsafeMutableRawPointer> = []
  /// One for each entry.
  var active: ContiguousArray<ActiveGrant> = []

  private(set) var handles: ContiguousArray<HandleSlot>
  private var firstFree: UInt32

  /// - Parameter maximumHandles: less than 2³² − 1.
  init(id: DomainID, maximumFrames: Int, maximumHandles: Int) {
    self.id = id
    self.maximumFrames = maximumFrames
    handles = ContiguousArray(repeating: HandleSlot(), count: maximumHandles)
    for index in handles.indices.dropLast() { handles[index].nextFree = UInt32(index + 1) }
    firstFree = maximumHandles == 0 ? HandleSlot.endOfList : 0
  }

  func addFrame(_ entries: UnsafeMutableRawPointer) {
    frames.append(entries)
    active += ContiguousArray(repeating: ActiveGrant(), count: GrantEntry.perFrame)
  }

  /// The place of an entry; nil beyond the table.
  func place(of reference: GrantReference) -> GrantPlace? {
    guard Int(reference.rawValue) < active.count else { return nil }
    let (frame, index) = Int(reference.rawValue).quotientAndRemainder(dividingBy: GrantEntry.perFrame)
    return GrantPlace(granter: id, reference: reference, address: frames[frame] + index * GrantEntry.size)
  }

  // MARK: Handles

  /// How many handles are in use.
  private var handlesInUse = 0

  var mapsAnything: Bool { handlesInUse != 0 }
  var hasFreeHandle: Bool { firstFree != HandleSlot.endOfList }
  var nextHandle: GrantHandle? { hasFreeHandle ? GrantHandle(firstFree) : nil }

  /// Takes a free handle. There must be one.
  func takeHandle(for reference: GrantReference, of granter: DomainID, use: GrantUse) -> GrantHandle {
    let index = firstFree
    firstFree = handles[Int(index)].nextFree
    handles[Int(index)] = HandleSlot(granter: granter, reference: reference, use: use)
    handlesInUse += 1
    return GrantHandle(index)
  }

  /// Takes all handles over as they are given, with the free ones in order.
  func restoreHandles(_ slots: [HandleSlot], free: [GrantHandle]) {
    handles = ContiguousArray(slots)
    firstFree = HandleSlot.endOfList
    for handle in free.reversed() {
      handles[Int(handle.rawValue)].nextFree = firstFree
      firstFree = handle.rawValue
    }
    handlesInUse = slots.count - free.count
  }

  /// The mapping that a handle names; nil if it names none.
  func mapping(_ handle: GrantHandle) -> HandleSlot? {
    guard Int(handle.rawValue) < handles.count else { return nil }
    let slot = handles[Int(handle.rawValue)]
    return slot.isFree ? nil : slot
  }

  /// Drops parts of a mapping, which it has.
  /// - Returns: whether nothing is left, so that the handle is free.
  func drop(_ parts: GrantUse, of handle: GrantHandle) -> Bool {
    let index = Int(handle.rawValue)
    if parts.host { handles[index].use.host = false }
    if parts.device { handles[index].use.device = false }
    guard handles[index].isFree else { return false }
    handles[index].nextFree = firstFree
    firstFree = handle.rawValue
    handlesInUse -= 1
    return true
  }
}
