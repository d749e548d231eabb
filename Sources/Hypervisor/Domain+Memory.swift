// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Synchronization

/// The domain's memory: for the builder before the start, for the vCPUs afterwards.
extension Domain {
  /// The machine frame behind a guest frame as the domain was created; nil if there is none.
  public func machineFrame(of frame: GuestFrame) -> MachineFrame? {
    guard frame.rawValue < UInt64(initialFrames.count) else { return nil }
    return initialFrames[Int(frame.rawValue)]
  }

  /// The number by which the guest's kernel names a frame to others, in grants, rings and the store: a PV guest's is the
  /// machine frame's; nil if there is no such frame.
  public func frameNumber(of frame: GuestFrame) -> UInt64? {
    machineFrame(of: frame).map { space.number(of: frame, $0) }
  }

  /// The 4096 bytes of a guest frame; nil if there is none.
  public func bytes(of frame: GuestFrame) -> UnsafeMutableRawBufferPointer? {
    guard let machine = machineFrame(of: frame), let bytes = host.memory.bytes(of: machine) else {
      return nil
    }
    return UnsafeMutableRawBufferPointer(start: bytes, count: frameSize)
  }

  /// Fills a hypercall page: 128 slots of 32 bytes, one a hypercall number.
  ///
  /// A slot saves rcx and r11, which SYSCALL destroys, and returns; that of iret, which is jumped to, pushes the rest
  /// of its frame. Source: xen/include/public/arch-x86/xen-x86_64.h, "Hypercall interface" and `iret_context`.
  public func fillHypercallPage(_ frame: GuestFrame) {
    guard let page = bytes(of: frame) else { return }
    let breakpoint: UInt8 = 0xcc
    for index in page.indices { page[index] = breakpoint }
    for number in 0..<UInt8(128) {
      // push %rcx; push %r11; mov $number,%eax; syscall; pop %r11; pop %rcx; ret
      var code: [UInt8] = [0x51, 0x41, 0x53, 0xb8, number, 0, 0, 0, 0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3]
      if UInt64(number) == HypercallNumber.interruptReturn.rawValue {
        // push %rcx; push %r11; push %rax; mov $number,%eax; syscall
        code = [0x51, 0x41, 0x53, 0x50, 0xb8, number, 0, 0, 0, 0x0f, 0x05]
      }
      for (index, byte) in code.enumerated() { page[Int(number) * 32 + index] = byte }
    }
  }

  /// The frames that the domain has now: those that it gives back to the host, by its balloon, are not among them.
  public var currentFrameCount: Int { currentFrames.load(ordering: .relaxed) }

  // MARK: Grant table

  /// Writes one entry of the domain's own grant table, as the toolstack does for console (entry 0) and xenstore
  /// (entry 1) before the start.
  /// - Precondition: the reference lies in the first frame of the table, below 512.
  public func setGrant(_ reference: GrantReference, _ entry: GrantEntry) {
    precondition(
      reference.rawValue < UInt32(GrantEntry.perFrame), "the toolstack's entries are the first ones")
    guard let frame = grantFrames.first, let table = host.memory.bytes(of: frame) else { return }
    let place = table + Int(reference.rawValue) * 8
    place.storeBytes(of: entry.domain.rawValue, toByteOffset: 2, as: UInt16.self)
    place.storeBytes(of: entry.frame, toByteOffset: 4, as: UInt32.self)
    place.storeBytes(of: entry.flags.rawValue, as: UInt16.self)
  }

  func beginGrantTable() throws(HostError) {
    guard let first = grantFrames.first, let entries = host.memory.bytes(of: first) else { return }
    let status = host.withGrants { grants in
      let added = grants.addDomain(id, maximumFrames: maximumGrantFrames, maximumHandles: 1 << 14)
      return added == .okay ? grants.grow(id, entries: entries) : added
    }
    guard status == .okay else { throw .badConfiguration("the grant tables take no domain \(id): \(status)") }
  }

  /// Adds frames to the grant table until it has `count`; false if there are no frames left.
  func growGrantTable(to count: Int) -> Bool {
    while grantFrames.count < count {
      guard let frame = try? host.memory.allocate(for: id), let entries = host.memory.bytes(of: frame) else {
        return false
      }
      guard host.withGrants({ $0.grow(id, entries: entries) }) == .okay else {
        _ = host.memory.free(frame, ownedBy: id)
        return false
      }
      _ = host.memory.retain(frame, ownedBy: id)
      space.arrive(frame)
      grantFrames.append(frame)
    }
    return true
  }

  /// Takes all memory back; false while others map the domain's grants. A domain that runs is ended first.
  func releaseMemory() -> Bool {
    kill()
    _ = wait()
    host.events.removeDomain(id)
    guard host.withGrants({ $0.removeDomain(id) }) else { return false }
    let first = life.withLock { life in
      defer { life.letGo = true }
      return !life.letGo
    }
    if first {
      for frame in grantFrames + [sharedInfo] + processors.compactMap(\.infoFrame) {
        host.memory.release(frame)
      }
    }
    return host.memory.freeAll(ownedBy: id)
  }
}
