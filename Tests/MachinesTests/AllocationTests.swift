// SPDX-License-Identifier: Apache-2.0

import Glibc
import Interfaces
import Machines
import Synchronization
import Testing

/// Counts what a thread allocates, by the hook that the Swift runtime keeps for its tools.
///
/// The first call of the hook also reroutes reference counting, which is not safe in a process that goes on: the
/// reroute is taken back at once, and each count is made in a process of its own.
private enum Allocations {
  typealias Allocate = @convention(c) (UnsafeRawPointer?, Int, Int) -> UnsafeMutableRawPointer?

  /// The thread whose allocations count; 0 for none.
  static let thread = Atomic<UInt>(0)
  static let counted = Atomic<Int>(0)

  nonisolated(unsafe) static let hook: UnsafeMutablePointer<UnsafeRawPointer>? =
    dlsym(nil, "_swift_allocObject")?.assumingMemoryBound(to: UnsafeRawPointer.self)
  nonisolated(unsafe) static let rerouted: UnsafeMutablePointer<Bool>? =
    dlsym(nil, "_swift_enableSwizzlingOfAllocationAndRefCountingFunctions_forInstrumentsOnly")?
    .assumingMemoryBound(to: Bool.self)
  static let original: Allocate? = hook.map { unsafeBitCast($0.pointee, to: Allocate.self) }

  /// How many objects `body` allocates on this thread when it runs for the second time, so that what is made once
  /// does not count; nil if the runtime has no hook.
  static func count(during body: () -> Void) -> Int? {
    guard let hook, rerouted != nil, original != nil else { return nil }
    let before = hook.pointee
    let counting: Allocate = { metadata, size, alignment in
      Allocations.rerouted?.pointee = false
      if pthread_self() == Allocations.thread.load(ordering: .relaxed) {
        Allocations.counted.add(1, ordering: .relaxed)
      }
      return Allocations.original?(metadata, size, alignment)
    }
    body()
    thread.store(pthread_self(), ordering: .relaxed)
    hook.pointee = unsafeBitCast(counting, to: UnsafeRawPointer.self)
    body()
    hook.pointee = before
    return counted.load(ordering: .relaxed)
  }
}

@Suite("Operations allocate nothing")
struct AllocationTests {
  @Test("The count sees an allocation")
  func canary() async {
    await #expect(processExitsWith: .success) {
      #expect(Allocations.count { _ = RingPage(slotCount: 1) } == 1)
    }
  }

  @Test("Rings")
  func rings() async {
    await #expect(processExitsWith: .success) {
      let page = RingPage(slotCount: 8, slotSize: 112)
      let (front, back) = (page.front(), page.back())
      let slot = UnsafeMutableRawBufferPointer.allocate(byteCount: 112, alignment: 8)
      defer { slot.deallocate() }
      slot.initializeMemory(as: UInt8.self, repeating: 1)
      let count = Allocations.count {
        for _ in 0..<10_000 {
          front.putRequest(UnsafeRawBufferPointer(slot))
          _ = front.pushRequests()
          _ = try? back.takeRequest(into: slot)
          back.putResponse(UnsafeRawBufferPointer(slot))
          _ = try? back.finalCheckForRequests()
          _ = back.pushResponses()
          _ = try? front.finalCheckForResponses()
          _ = try? front.takeResponse(into: slot)
        }
      }
      #expect(count == 0)
    }
  }

  @Test("Byte streams")
  func streams() async {
    await #expect(processExitsWith: .success) {
      let page = StreamPage(.console)
      let (host, guest) = (page.end(.host), page.end(.guest))
      let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 300, alignment: 8)
      defer { bytes.deallocate() }
      bytes.initializeMemory(as: UInt8.self, repeating: 1)
      let count = Allocations.count {
        for _ in 0..<10_000 {
          _ = try? host.write(UnsafeRawBufferPointer(bytes))
          _ = try? guest.read(into: bytes)
        }
      }
      #expect(count == 0)
    }
  }

  @Test("Grants, those that succeed and those that fail")
  func grants() async {
    await #expect(processExitsWith: .success) {
      let host = GrantHost()
      host[one, 0] = GrantEntry(flags: .permitAccess, domain: two, frame: 10)
      let source = GrantCopyEnd.grant(one, GrantReference(0))
      let destination = GrantCopyEnd.frame(MachineFrame(20))
      let count = Allocations.count {
        for _ in 0..<10_000 {
          let mapping = host.map(0, device: true)
          _ = host.map(1)
          _ = host.map(5000)
          _ = host.tables.unmap(mapping.handle, host: true, device: true, by: two)
          _ = host.tables.unmap(mapping.handle, host: true, device: true, by: two)
          _ = host.tables.copy(from: source, at: 0, to: destination, at: 0, count: 64, by: two)
          _ = host.tables.copy(from: destination, at: 0, to: source, at: 0, count: 64, by: three)
          host.frames.owners[22] = two
          host[one, 1] = GrantEntry(flags: .acceptTransfer, domain: two, frame: 0)
          _ = host.tables.transfer(MachineFrame(22), to: one, GrantReference(1), by: two)
          _ = host.tables.size(of: two)
        }
      }
      #expect(count == 0)
      #expect(host.frames.owners[22] == one)
    }
  }

  @Test("Event channels, those operations that succeed and those that fail")
  func events() async {
    await #expect(processExitsWith: .success) {
      let host = EventHost()
      let (one, two) = (EventHost.first, EventHost.second)
      let (open, port) = host.connect()
      let count = Allocations.count {
        for _ in 0..<10_000 {
          _ = host.ports.send(port, by: two)
          _ = host.ports.send(EventPort(99), by: two)
          host.guests[0].clear(open)
          host.guests[0].setMask(open)
          _ = host.ports.send(port, by: two)
          _ = host.ports.unmask(open, of: one)
          _ = host.ports.bindVirtualCPU(open, to: 1, of: one)
          _ = host.ports.poll(EventPort(7), by: 0, of: one)
          _ = host.ports.resume(0, of: one)
          let unbound = host.ports.allocateUnbound(one, remote: two).port
          let bound = host.ports.bindInterdomain(two, remote: one, remotePort: unbound).port
          let interrupt = host.ports.bindVirtualInterrupt(2, on: 1, of: one).port
          host.ports.raiseVirtualInterrupt(2, on: 1, of: one)
          _ = host.ports.bindInterprocessor(on: 3, of: one)
          _ = host.ports.status(of: interrupt, in: one)
          _ = host.ports.close(bound, of: two)
          _ = host.ports.close(unbound, of: one)
          _ = host.ports.close(interrupt, of: one)
        }
        _ = host.ports.reset(DomainID(5))
      }
      #expect(count == 0)
      #expect(host.guests[0].isPending(open))
    }
  }

  @Test("A host's memory, those operations that succeed and those that fail")
  func hostMemory() async {
    await #expect(processExitsWith: .success) {
      let memory = try #require(
        OptimisedHostMemory(frameCount: 64, limit: ExtentOrder(3), surroundings: VacantSurroundings()))
      let domain = DomainID(1)
      _ = memory.addDomain(domain)
      _ = memory.setMaximum(32, of: domain)
      let frames = UnsafeMutableBufferPointer<MachineFrame>.allocate(capacity: 8)
      let bases = UnsafeMutableBufferPointer<MachineFrame>.allocate(capacity: 8)
      defer {
        frames.deallocate()
        bases.deallocate()
      }
      let count = Allocations.count {
        for _ in 0..<10_000 {
          let answer = memory.populate(domain, at: GuestFrame(8), ExtentOrder(3))
          _ = memory.increase(domain, ExtentOrder(9))
          for offset in 0..<8 { frames[offset] = MachineFrame(answer.base.rawValue + UInt64(offset)) }
          _ = memory.exchange(domain, UnsafeBufferPointer(frames), for: ExtentOrder(1), into: bases)
          _ = memory.exchange(domain, UnsafeBufferPointer(frames), for: ExtentOrder(1), into: bases)
          _ = memory.claim(16, for: domain)
          _ = memory.retain(bases[0])
          _ = memory.decrease(domain, bases[0])
          memory.release(bases[0])
          memory.retire(domain)
          _ = memory.relinquish(domain, limit: 64)
          _ = memory.addDomain(domain)
          _ = memory.setMaximum(32, of: domain)
        }
      }
      #expect(count == 0)
      #expect(memory.freeFrames == 64)
    }
  }

  @Test("Shadow page tables")
  func shadows() async {
    await #expect(processExitsWith: .success) {
      let guest = ShadowBench()
      let count = Allocations.count {
        for _ in 0..<200 { guest.run() }
      }
      #expect(
        count == 0 && guest.machine.statistics.resyncs > 200 && guest.machine.statistics.evictions > 200)
    }
  }
}

/// Physical memories that have nothing.
private final class VacantSurroundings: FrameSurroundings {
  func scrub(_ frame: MachineFrame) {}
  func isVacant(_ first: GuestFrame, count: UInt64, of domain: DomainID) -> Bool { true }
  func map(_ first: GuestFrame, _ base: MachineFrame, count: UInt64, of domain: DomainID) {}
  func unmap(_ page: GuestFrame, of domain: DomainID) -> Bool { true }
}

/// A guest that faults, has tables out of sync, flushes, and needs more shadow memory than there is.
private final class ShadowBench {
  let base = UnsafeMutableRawPointer.allocate(byteCount: 40 * frameSize, alignment: frameSize)
  let machine: OptimisedShadowTables
  private let stub = QuietStub()
  private let tables: SharedGuestTables

  init() {
    base.initializeMemory(as: UInt8.self, repeating: 0, count: 40 * frameSize)
    tables = SharedGuestTables(base: base, frameCount: 32)
    machine = OptimisedShadowTables(
      tables: tables, pages: ShadowPages(base: base + 32 * frameSize, firstFrame: MachineFrame(32), count: 6),
      vcpuCount: 1, policy: .few, stub: stub)
    for frame in 0..<32 as Range<UInt64> { _ = machine.acquire(MachineFrame(frame), writes: true) }
    for table in 0..<2 as Range<UInt64> { put(table, 0, table + 1) }
    for slot in 0..<4 {
      put(2, slot, UInt64(3 + slot))
      for page in 0..<8 { put(UInt64(3 + slot), page, UInt64(3 + page)) }
    }
    _ = machine.load(MachineFrame(0), on: 0)
  }
  deinit { base.deallocate() }

  private final class QuietStub: ShadowStub {
    func store(_ downgrades: UnsafeBufferPointer<Downgrade>) {}
  }

  private func put(_ table: UInt64, _ slot: Int, _ target: UInt64) {
    _ = machine.write(
      GuestTableEntry(MachineFrame(target), ShadowHost.all), to: MachineFrame(table), slot: slot)
  }

  func run() {
    for slot in 0..<4 as Range<UInt64> {
      _ = machine.fault(at: VirtualAddress(slot << 21 | 7 << 12), .write, on: 0)
      _ = machine.fault(at: VirtualAddress(slot << 21 | slot << 12), .write, on: 0)
      put(2, Int(slot), 3 + slot)
    }
    machine.flush(0)
    _ = machine.load(MachineFrame(0), on: 0)
  }
}
