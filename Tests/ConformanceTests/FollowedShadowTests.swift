// SPDX-License-Identifier: Apache-2.0

import Conformance
import Glibc
import Interfaces
import PlantedBugs
import Testing

/// Shadow page tables as `run --check` follows them, without a processor: at the size of a host, over plain memory.
@Suite("Followed shadow page tables") struct FollowedShadowTests {
  /// A domain's memory, its shadow page tables, and what is said of them.
  private final class Setting {
    static let frameCount = 32
    static let pageCount = 12
    let base: UnsafeMutableRawPointer
    let tables: any ShadowTables
    let monitor = CheckMonitor { _ in }

    private final class Stub: ShadowStub {
      func store(_ downgrades: UnsafeBufferPointer<Downgrade>) {}
    }

    init(_ maker: ShadowMaker = .optimised, sample: CheckSample? = nil) {
      let frames = Self.frameCount + Self.pageCount
      base = .allocate(byteCount: frames * frameSize, alignment: frameSize)
      base.initializeMemory(as: UInt8.self, repeating: 0, count: frames * frameSize)
      let pages = ShadowPages(
        base: base + Self.frameCount * frameSize, firstFrame: MachineFrame(UInt64(Self.frameCount)),
        count: Self.pageCount)
      tables = CheckedMachinery(monitor: monitor, sample: sample, shadows: maker)
        .makeShadowTables(
          memory: base, frameCount: Self.frameCount, pages: pages, vcpuCount: 2, stub: Stub())
    }
    deinit { base.deallocate() }

    /// The guest stores an entry itself.
    func poke(_ table: Int, _ slot: Int, _ target: Int, _ bits: UInt64) {
      (base + table * frameSize + slot * 8)
        .storeBytes(of: GuestTableEntry(MachineFrame(UInt64(target)), bits).rawValue, as: UInt64.self)
    }

    /// Tables 0 … 3 lead to one another; 3 maps frame 8 and, at slot 1, itself.
    func begin() {
      for frame in 0..<16 { _ = tables.acquire(MachineFrame(UInt64(frame)), writes: true) }
      for table in 0..<3 { poke(table, 0, table + 1, 7) }
      poke(3, 0, 8, 0x67)
      poke(3, 1, 3, 0x67)
      #expect(tables.load(MachineFrame(0), on: 0) == .okay)
      #expect(tables.fault(at: VirtualAddress(0), .write, on: 0) == .resume)
    }

    /// Frame 3 goes out of sync and back.
    /// - Parameter takes: whether the guest takes a right from an entry, or gives it back.
    func round(takes: Bool) {
      #expect(tables.fault(at: VirtualAddress(0x1000), .write, on: 0) == .resume)
      // Through its own mapping the guest writes to the table: another page, and one right less, or more.
      poke(3, 2, 9, 0x67)
      poke(3, 0, 8, takes ? 0x65 : 0x67)
      #expect(tables.fault(at: VirtualAddress(0x2000), [], on: 0) == .resume)
      tables.flush(0)
      #expect(tables.write(GuestTableEntry(rawValue: 0), to: MachineFrame(3), slot: 2) == .okay)
      tables.invalidate(VirtualAddress(0x2000), on: 0)
      #expect(tables.surrender(MachineFrame(8)) == .okay)
      #expect(tables.load(MachineFrame(0), on: 0) == .okay)
      #expect(tables.acquire(MachineFrame(8), writes: true) == .okay)
    }

    func run(rounds: Int = 1) {
      begin()
      for number in 0..<rounds { round(takes: number % 2 == 0) }
    }
  }

  @Test("each operation is compared, and nothing differs")
  func agrees() {
    let setting = Setting()
    setting.run()
    #expect(setting.monitor.divergence == nil, "\(setting.monitor.divergence.map { "\($0)" } ?? "")")
    let count = setting.monitor.counts.first { $0.machine == "Shadow" }?.count
    #expect(count?.unchecked == 0 && count?.operations == 26)
  }

  @Test(
    "a bug is found",
    arguments: [
      ShadowBug.forgottenDowngrade, .staleResync, .markLost, .flushIgnored, .notRevalidated, .loadIgnored,
    ])
  func bugs(bug: ShadowBug) {
    let setting = Setting(bug.maker)
    withKnownIssue(isIntermittent: true) { setting.run() }
    #expect(setting.monitor.divergence?.machine == "Shadow")
  }

  /// Windows that begin at each operation in turn: after any of them the state can be made anew.
  @Test("a sample is compared, in windows, and nothing differs", arguments: 1...9)
  func sampled(length: Int) {
    let sample = CheckSample(length: length, interval: length + 3)
    let setting = Setting(sample: sample)
    setting.run(rounds: 12)
    #expect(setting.monitor.divergence == nil, "\(setting.monitor.divergence.map { "\($0)" } ?? "")")
    let count = setting.monitor.counts.first { $0.machine == "Shadow" }?.count
    #expect((count?.windows ?? 0) > 2 && count.map { $0.operations + $0.skipped } == 114)
  }

  @Test(
    "a bug is found by a sample, in a window of 16 operations of 32",
    arguments: [ShadowBug.forgottenDowngrade, .staleResync, .markLost, .flushIgnored, .loadIgnored])
  func sampledBugs(bug: ShadowBug) {
    // The first window, which begins where the specification does, is over before the guest has a table.
    let setting = Setting(bug.maker, sample: CheckSample(length: 16, interval: 32))
    withKnownIssue(isIntermittent: true) { setting.run(rounds: 12) }
    #expect(setting.monitor.divergence?.machine == "Shadow")
    let count = setting.monitor.counts.first { $0.machine == "Shadow" }?.count
    #expect((count?.skipped ?? 0) > 0)
  }

  @Test("what went wrong between windows, and lasts, is found at the next one's beginning")
  func lasting() {
    let setting = Setting(sample: CheckSample(length: 26, interval: 40))
    setting.run()
    // Nothing is followed now. A table in sync is stored to, as no processor could.
    setting.poke(2, 0, 3, 0x65)
    for _ in 0..<40 { setting.tables.flush(1) }
    #expect(setting.monitor.divergence?.reason.contains("since before this window") == true)
  }

  @Test("a table in sync that somebody stores to is found at the next look")
  func strangersStore() {
    let setting = Setting()
    setting.run()
    setting.poke(2, 1, 9, 0x67)
    _ = setting.tables.fault(at: VirtualAddress(1 << 21), [], on: 0)
    #expect(setting.monitor.divergence?.reason.contains("no processor could store there") == true)
  }
}
