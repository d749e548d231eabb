// SPDX-License-Identifier: Apache-2.0

import Conformance
import Glibc
import Interfaces
import Machines
import Synchronization

/// A few frames in memory, all of domain 1.
final class SmallHost: FrameOwnership, FrameMemory {
  static let guest = DomainID(1)
  let frameCount = 16
  let base: UnsafeMutableRawPointer
  private var references = [Int](repeating: 0, count: 16)

  init() {
    base = .allocate(byteCount: frameCount * frameSize, alignment: frameSize)
    base.initializeMemory(as: UInt8.self, repeating: 0, count: frameCount * frameSize)
  }

  deinit { base.deallocate() }

  func page(_ frame: Int) -> UnsafeMutableRawPointer { base + frame * frameSize }

  func bytes(of frame: MachineFrame) -> UnsafeMutableRawPointer? {
    frame.rawValue < UInt64(frameCount) ? page(Int(frame.rawValue)) : nil
  }
  func owner(of frame: MachineFrame) -> DomainID? { bytes(of: frame) == nil ? nil : Self.guest }
  func retain(_ frame: MachineFrame, ownedBy domain: DomainID) -> Bool {
    guard owner(of: frame) == domain else { return false }
    references[Int(frame.rawValue)] += 1
    return true
  }
  func isUnused(_ frame: MachineFrame) -> Bool { references[Int(frame.rawValue)] == 0 }
  func release(_ frame: MachineFrame) { references[Int(frame.rawValue)] -= 1 }
  func transfer(_ frame: MachineFrame, from: DomainID, to: DomainID) -> Bool { false }
}

/// A domain's vCPUs, which nobody runs.
final class SyntheticGuest: EventRecipient {
  func kick(_ vcpu: Int) {}
  func stir() {}
}

/// Grant tables, rings, streams and event channels on checked machines, used as a block back end uses them, without a guest.
struct SyntheticRun {
  let host = SmallHost()
  let machinery: CheckedMachinery

  init(_ machinery: CheckedMachinery) { self.machinery = machinery }

  /// Maps a granted frame `count` times, and lets go of it; one map of ten names an entry that grants nothing.
  func grants(_ count: Int) {
    let tables = machinery.makeGrantTables(frames: host, memory: host)
    _ = tables.addDomain(.host, maximumFrames: 0, maximumHandles: 4)
    _ = tables.addDomain(SmallHost.guest, maximumFrames: 1, maximumHandles: 4)
    _ = tables.grow(SmallHost.guest, entries: host.page(0))
    let guest = GrantTableGuest(entries: host.page(0), frames: 1)
    guest.grantAccess(GrantReference(8), to: .host, frame: 3, readOnly: false)
    for index in 0..<count {
      let reference = GrantReference(index % 10 == 9 ? 9 : 8)
      let request = GrantMapRequest(granter: SmallHost.guest, reference: reference, readOnly: index % 2 == 0)
      let mapping = tables.map(request, by: .host)
      if mapping.status == .okay { _ = tables.unmap(mapping.handle, host: true, device: false, by: .host) }
    }
    _ = tables.removeDomain(SmallHost.guest)
  }

  /// Sends `count` requests through a ring, one after the other, and answers each.
  /// - Returns: how many answers came back as they were sent.
  func ring(_ count: Int) -> Int {
    let memory = SharedRingMemory(page: host.page(5), slotCount: 4, slotSize: 8)
    memory.initialise()
    let front = OptimisedFrontRing(page: host.page(5), slotCount: 4, slotSize: 8)
    let back = machinery.makeBackRing(page: host.page(5), slotCount: 4, slotSize: 8)
    var message: UInt64 = 0
    var answers = 0
    withUnsafeMutableBytes(of: &message) { slot in
      for index in 0..<count {
        slot.storeBytes(of: UInt64(index) * 3, as: UInt64.self)
        front.putRequest(UnsafeRawBufferPointer(slot))
        _ = front.pushRequests()
        Self.serve(back, slot)
        guard (try? front.takeResponse(into: slot)) == true else { continue }
        if slot.load(as: UInt64.self) == UInt64(index) * 3 + 1 { answers += 1 }
      }
    }
    return answers
  }

  /// Echoes bytes through a pair of streams.
  func stream(_ count: Int) -> Int {
    let page = host.page(6)
    let guest = OptimisedStreamRing(page: page, layout: .console, end: .guest)
    let back = machinery.makeStreamRing(page: page, layout: .console)
    var echoed = 0
    for index in 0..<count {
      let byte = UInt8(truncatingIfNeeded: index)
      var found = ~byte
      withUnsafeBytes(of: byte) { _ = try? guest.write($0) }
      withUnsafeMutableBytes(of: &found) { _ = try? back.read(into: $0) }
      withUnsafeBytes(of: found) { _ = try? back.write($0) }
      found = ~byte
      withUnsafeMutableBytes(of: &found) { _ = try? guest.read(into: $0) }
      if found == byte { echoed += 1 }
    }
    return echoed
  }

  /// Sends `count` events from domain 1 to the host, whose guest's handler takes each.
  /// - Returns: how many up-calls were made for them.
  func events(_ count: Int) -> Int {
    let ports = machinery.makeEventPorts()
    for (domain, page) in [(DomainID.host, host.page(8)), (SmallHost.guest, host.page(9))] {
      _ = ports.addDomain(
        domain, sharedInfo: page, portCount: EventLimits.portCount, virtualCPUCount: 1,
        recipient: SyntheticGuest())
      _ = ports.register(0, of: domain, info: page)
    }
    let open = ports.allocateUnbound(.host, remote: SmallHost.guest).port
    let port = ports.bindInterdomain(SmallHost.guest, remote: .host, remotePort: open).port
    var upcalls = 0
    for _ in 0..<count {
      // The handler: up-calls, the selector and the port are cleared, and up-calls enabled.
      host.page(8).storeBytes(of: 0, as: UInt16.self)
      host.page(8).storeBytes(of: 0, toByteOffset: 8, as: UInt64.self)
      host.page(8).storeBytes(of: 0, toByteOffset: 2048, as: UInt64.self)
      _ = ports.send(port, by: SmallHost.guest)
      if ports.resume(0, of: .host) { upcalls += 1 }
    }
    ports.removeDomain(SmallHost.guest)
    return upcalls
  }

  /// Answers all requests there are, each with the next number.
  static func serve(_ back: any BackRing, _ slot: UnsafeMutableRawBufferPointer) {
    repeat {
      while (try? back.takeRequest(into: slot)) == true {
        slot.storeBytes(of: slot.load(as: UInt64.self) &+ 1, as: UInt64.self)
        back.putResponse(UnsafeRawBufferPointer(slot))
        _ = back.pushResponses()
      }
    } while (try? back.finalCheckForRequests()) == true
  }
}

/// A file of one test.
final class TraceFile {
  let path: String

  /// - Parameter ending: how its name ends.
  init(ending: String = "") {
    var template = Array("/tmp/lockstep-trace-XXXXXX\(ending)".utf8CString)
    close(mkstemps(&template, Int32(ending.utf8.count)))
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { unlink(path) }
}
