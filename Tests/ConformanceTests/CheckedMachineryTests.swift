// SPDX-License-Identifier: Apache-2.0

import Conformance
import Glibc
import Interfaces
import Machines
import PlantedBugs
import Synchronization
import Testing

/// A ring's memory with a bug in it.
private struct BuggyMemory: RingMemory {
  enum Bug { case noFence, earlyIndex, secondRead, foreignWord }
  let inner: RingTap
  let bug: Bug
  var slotCount: UInt32 { inner.slotCount }
  var slotSize: Int { inner.slotSize }

  func load(_ word: RingWord) -> UInt32 { inner.load(word) }
  func store(_ word: RingWord, _ value: UInt32) {
    switch (bug, word) {
    case (.earlyIndex, .responseProducer): inner.store(word, value &+ 1)
    case (.foreignWord, .responseProducer):
      inner.store(word, value)
      inner.store(.responseEvent, value)
    default: inner.store(word, value)
    }
  }
  func fullFence() { if bug != .noFence { inner.fullFence() } }
  func copySlotOut(_ index: UInt32, into slot: UnsafeMutableRawBufferPointer) {
    inner.copySlotOut(index, into: slot)
    if bug == .secondRead { inner.copySlotOut(index, into: slot) }
  }
  func copySlotIn(_ index: UInt32, from slot: UnsafeRawBufferPointer) { inner.copySlotIn(index, from: slot) }
}

private protocol HasBug { static var bug: BuggyMemory.Bug { get } }
private enum NoFence: HasBug { static let bug = BuggyMemory.Bug.noFence }
private enum EarlyIndex: HasBug { static let bug = BuggyMemory.Bug.earlyIndex }
private enum SecondRead: HasBug { static let bug = BuggyMemory.Bug.secondRead }
private enum ForeignWord: HasBug { static let bug = BuggyMemory.Bug.foreignWord }

/// The optimised back end's side over such memory.
private struct BuggySide<Planted: HasBug>: RingSide {
  static var end: RingEnd { .back }
  private var core: BackRingCore<BuggyMemory>
  init(memory: RingTap, indices: RingIndices) {
    core = BackRingCore(memory: BuggyMemory(inner: memory, bug: Planted.bug), indices: indices)
  }
  var indices: RingIndices { core.indices }
  mutating func take(into slot: UnsafeMutableRawBufferPointer) throws(RingError) -> Bool {
    try core.takeRequest(into: slot)
  }
  mutating func put(_ slot: UnsafeRawBufferPointer) { core.putResponse(slot) }
  mutating func push() -> Bool { core.pushResponses() }
  mutating func finalCheck() throws(RingError) -> Bool { try core.finalCheckForRequests() }
}

/// Access to grant entries that forgets to take flags back.
private struct ForgetfulEntries: GrantEntryAccess {
  let inner: TappedGrantEntries
  func load(_ place: GrantPlace) -> GrantWord { inner.load(place) }
  func compareExchange(_ place: GrantPlace, expected: GrantWord, desired: GrantWord) -> (
    exchanged: Bool, original: GrantWord
  ) { inner.compareExchange(place, expected: expected, desired: desired) }
  func clear(_ flags: GrantFlags, at place: GrantPlace) {}
  func set(_ flags: GrantFlags, at place: GrantPlace) { inner.set(flags, at: place) }
  func loadFrame(_ place: GrantPlace) -> UInt32 { inner.loadFrame(place) }
  func storeFrame(_ frame: UInt32, at place: GrantPlace) { inner.storeFrame(frame, at: place) }
  func replace(_ place: GrantPlace, with word: GrantWord, frame: UInt32) {
    inner.replace(place, with: word, frame: frame)
  }
}

extension EventBug {
  /// Those that show where events are sent.
  fileprivate static let inSends: [EventBug] = [
    .notifyBeforeSelect, .kickDropped, .pendingKept, .wrongWord, .upcallsUnmasked,
  ]
}

@Suite("Checked machines") struct CheckedMachineryTests {
  @Test("do their work, each operation compared")
  func agrees() {
    let monitor = CheckMonitor { Issue.record("\($0)") }
    let run = SyntheticRun(CheckedMachinery(monitor: monitor))
    run.grants(1000)
    #expect(run.ring(1000) == 1000)
    #expect(run.stream(1000) == 1000)
    #expect(run.events(100) == 100)
    let counts = Dictionary(uniqueKeysWithValues: monitor.counts.map { ($0.machine, $0.count) })
    // Three to begin, one to end; a map each time, an unmap nine times of ten.
    #expect(counts["Grants"]?.operations == 4 + 1000 + 900)
    // Two takes, a put, a push and a final check for each request.
    #expect(counts["Ring"]?.operations == 5000)
    #expect(counts["Stream"]?.operations == 2000 && counts["Stream"]?.instances == 2)
    // Two domains that come, with a vCPU each; a binding of both ends; a send and a resume each time; one that goes.
    #expect(counts["EventChannels"]?.operations == 4 + 2 + 200 + 1)
    #expect(counts.values.allSatisfy { $0.unchecked == 0 && $0.steps > 0 })
  }

  @Test("a map for which no handle is left is compared too")
  func outOfHandles() {
    let monitor = CheckMonitor { Issue.record("\($0)") }
    let host = SmallHost()
    let tables = CheckedMachinery(monitor: monitor).makeGrantTables(frames: host, memory: host)
    _ = tables.addDomain(.host, maximumFrames: 0, maximumHandles: 2)
    _ = tables.addDomain(SmallHost.guest, maximumFrames: 1, maximumHandles: 0)
    _ = tables.grow(SmallHost.guest, entries: host.page(0))
    GrantTableGuest(entries: host.page(0), frames: 1)
      .grantAccess(GrantReference(8), to: .host, frame: 3, readOnly: false)
    let request = GrantMapRequest(granter: SmallHost.guest, reference: GrantReference(8), readOnly: true)
    let statuses = (0..<3).map { _ in tables.map(request, by: .host).status }
    #expect(statuses == [.okay, .okay, .noDeviceSpace])
  }

  @Test(
    "a ring keeps up with a peer that really runs, and with one that scribbles", arguments: [false, true],
    [32, 256])
  func concurrent(hostile: Bool, slotCount: Int) throws {
    let monitor = CheckMonitor { Issue.record("\($0)") }
    let machinery = CheckedMachinery(monitor: monitor)
    let host = SmallHost()
    SharedRingMemory(page: host.page(5), slotCount: slotCount, slotSize: 8).initialise()
    let back = machinery.makeBackRing(page: host.page(5), slotCount: slotCount, slotSize: 8)
    let isOver = Mutex(false)
    let page = UInt(bitPattern: host.page(5))
    let peer = try PeerThread {
      guard let page = UnsafeMutableRawPointer(bitPattern: page) else { return }
      let ring = SharedRingMemory(page: page, slotCount: slotCount, slotSize: 8)
      hostile ? scribble(ring, page) { isOver.withLock { $0 } } : work(ring, page, count: 20_000)
      isOver.withLock { $0 = true }
    }
    var message: UInt64 = 0
    var broken: RingError?
    withUnsafeMutableBytes(of: &message) { slot in
      while !isOver.withLock({ $0 }) {
        do throws(RingError) {
          while try back.takeRequest(into: slot) {
            back.putResponse(UnsafeRawBufferPointer(slot))
            _ = back.pushResponses()
          }
          _ = try back.finalCheckForRequests()
        } catch {
          broken = error
          isOver.withLock { $0 = true }
        }
      }
    }
    peer.join()
    #expect((broken != nil) == hostile)
    #expect(monitor.divergence == nil)
  }

  @Test(
    "a bug in a ring's side is found, and the ring stops there",
    arguments: ["fence", "early", "second", "foreign"])
  func ringBugs(bug: String) {
    let reported = Mutex(0)
    let monitor = CheckMonitor { _ in reported.withLock { $0 += 1 } }
    let rings: CheckedMachinery.RingMaker =
      switch bug {
      case "fence": .init(BuggySide<NoFence>.self)
      case "early": .init(BuggySide<EarlyIndex>.self)
      case "second": .init(BuggySide<SecondRead>.self)
      default: .init(BuggySide<ForeignWord>.self)
      }
    let answers = SyntheticRun(CheckedMachinery(monitor: monitor, rings: rings)).ring(3)
    #expect(answers < 3)
    #expect(monitor.divergence?.machine == "Ring")
    #expect(reported.withLock { $0 } == 1)
  }

  @Test("a bug in grant tables is found")
  func grantBug() {
    let monitor = CheckMonitor { _ in }
    let grants = GrantsMaker { GrantMachine(frames: $0, memory: $1, entries: ForgetfulEntries(inner: $2)) }
    SyntheticRun(CheckedMachinery(monitor: monitor, grants: grants)).grants(1)
    #expect(monitor.divergence?.machine == "Grants")
    #expect(monitor.divergence?.step == "shared[domain1, reference8]")
  }

  @Test("a bug in event channels is found", arguments: EventBug.inSends)
  func eventBug(bug: EventBug) {
    let monitor = CheckMonitor { _ in }
    _ = SyntheticRun(CheckedMachinery(monitor: monitor, events: bug.maker)).events(3)
    #expect(monitor.divergence?.machine == "EventChannels")
  }

  @Test("event channels of domains that come and go one after the other are all compared")
  func eventsOfManyDomains() {
    let monitor = CheckMonitor { Issue.record("\($0)") }
    let host = SmallHost()
    let ports = CheckedMachinery(monitor: monitor).makeEventPorts()
    let guest = SyntheticGuest()
    func add(_ domain: DomainID) {
      let status = ports.addDomain(
        domain, sharedInfo: host.page(1), portCount: 4096, virtualCPUCount: 1, recipient: guest)
      #expect(status == .okay)
      #expect(ports.register(0, of: domain, info: host.page(1)) == .okay)
    }
    for number in 1...10 as ClosedRange<UInt16> {
      add(DomainID(number))
      #expect(ports.allocateUnbound(DomainID(number), remote: DomainID(number)).port == EventPort(1))
      ports.removeDomain(DomainID(number))
    }
    var count = monitor.counts.first { $0.machine == "EventChannels" }?.count
    #expect(count?.operations == 40 && count?.unchecked == 0)

    // A guest that names domains before they come cannot end the comparison; that one of them comes does, and is said.
    add(DomainID(1))
    for number in 100..<200 as Range<UInt16> {
      #expect(ports.allocateUnbound(DomainID(1), remote: DomainID(number)).status == .okay)
    }
    count = monitor.counts.first { $0.machine == "EventChannels" }?.count
    #expect(count?.operations == 142 && count?.unchecked == 0)
    add(DomainID(150))
    count = monitor.counts.first { $0.machine == "EventChannels" }?.count
    #expect(count?.operations == 142 && count?.unchecked == 2 && monitor.uncheckedReasons.count == 1)
  }

  @Test("a binding for which no port is left is compared too")
  func outOfPorts() {
    let monitor = CheckMonitor { Issue.record("\($0)") }
    let host = SmallHost()
    let ports = CheckedMachinery(monitor: monitor).makeEventPorts()
    _ = ports.addDomain(
      .host, sharedInfo: host.page(1), portCount: 70, virtualCPUCount: 1, recipient: SyntheticGuest())
    let bound = (1...70).map { _ in ports.allocateUnbound(.host, remote: .host) }
    #expect(bound.dropLast().allSatisfy { $0.status == .okay } && bound.last?.status == .noSpace)
    #expect(ports.reset(.host) == .okay)
    #expect(ports.allocateUnbound(.host, remote: .host).port == EventPort(1))
    #expect(monitor.counts.first?.count.operations == 73)
  }
}

/// A front end that sends requests as fast as it can, and takes the answers.
private func work(_ ring: SharedRingMemory, _ page: UnsafeMutableRawPointer, count: Int) {
  let front = OptimisedFrontRing(page: page, slotCount: Int(ring.slotCount), slotSize: 8)
  var message: UInt64 = 0
  withUnsafeMutableBytes(of: &message) { slot in
    var (sent, received) = (0, 0)
    while received < count {
      while sent < count, !front.isFull {
        front.putRequest(UnsafeRawBufferPointer(slot))
        sent += 1
      }
      _ = front.pushRequests()
      while (try? front.takeResponse(into: slot)) == true { received += 1 }
    }
  }
}

/// A front end that first works, then stores nonsense into every word it shares.
private func scribble(_ ring: SharedRingMemory, _ page: UnsafeMutableRawPointer, until isOver: () -> Bool) {
  work(ring, page, count: 2000)
  for index in 0..<100_000_000 {
    if isOver() { return }
    ring.store(RingWord.allCases[index % 4], UInt32(truncatingIfNeeded: index &* 0x9e37_79b9))
  }
}

/// A thread to be waited for.
private struct PeerThread {
  private let thread: pthread_t

  init(_ body: @escaping @Sendable () -> Void) throws {
    final class Box {
      let body: @Sendable () -> Void
      init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let failed = pthread_create(
      &thread, nil,
      { argument in
        if let argument { Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body() }
        return nil
      }, Unmanaged.passRetained(Box(body)).toOpaque())
    try #require(failed == 0)
    self.thread = thread
  }

  func join() { pthread_join(thread, nil) }
}
