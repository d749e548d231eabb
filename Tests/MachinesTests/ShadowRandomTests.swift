// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Testing

/// A guest that does anything: its processors use nothing that its tables did not offer since the last flush.
@Suite("Shadow page tables under random guests")
struct ShadowRandomTests {
  private struct Generator {
    var state: UInt64
    mutating func pick(_ count: Int) -> Int {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return Int(state >> 20 % UInt64(count)) % count
    }
    mutating func oneIn(_ count: Int) -> Bool { pick(count) == 0 }

    /// Twelve frames, few of them twice; most rights are given.
    mutating func entry() -> GuestTableEntry {
      var bits = ShadowHost.all
      if oneIn(6) { bits &= ~EntryBits.writable }
      if oneIn(6) { bits &= ~EntryBits.user }
      if oneIn(4) { bits &= ~EntryBits.dirty }
      if oneIn(5) { bits &= ~EntryBits.accessed }
      if oneIn(6) { bits &= ~EntryBits.present }
      if oneIn(6) { bits |= EntryBits.noExecute }
      return GuestTableEntry(MachineFrame(UInt64(oneIn(40) ? 70 : 3 + pick(9))), bits)
    }
    /// An entry for a table: of the upper three it mostly leads to the next one.
    mutating func entry(for table: Int) -> GuestTableEntry {
      let entry = entry()
      guard table < 3, !oneIn(6) else { return entry }
      return GuestTableEntry(MachineFrame(UInt64(table + 1)), entry.rawValue & ~EntryBits.frame)
    }
    /// Sixteen pages of a tree of two slots a table, and of its slots' words the two that count.
    mutating func address() -> VirtualAddress {
      var address = UInt64(pick(2)) * 8
      for level in 0..<4 { address |= UInt64(pick(2)) << UInt64(12 + 9 * level) }
      return VirtualAddress(address)
    }
  }

  private func step(_ host: ShadowHost, _ random: inout Generator, _ vcpuCount: Int) {
    let vcpu = random.pick(vcpuCount)
    switch random.pick(16) {
    case 0...4: _ = host.access(random.address(), user: random.oneIn(3), vcpu: vcpu)
    case 5...8: _ = host.access(random.address(), store: random.entry(), user: random.oneIn(3), vcpu: vcpu)
    case 9...11:
      let table = random.pick(12)
      _ = host.machine.write(random.entry(for: table), to: MachineFrame(UInt64(table)), slot: random.pick(2))
    case 12: _ = host.load(UInt64(random.oneIn(4) ? random.pick(4) : 0), vcpu)
    case 13: host.flush(vcpu)
    case 14: host.invalidate(random.address(), vcpu)
    default: rare(host, &random)
    }
  }

  private func rare(_ host: ShadowHost, _ random: inout Generator) {
    let frame = MachineFrame(UInt64(random.pick(12)))
    switch random.pick(6) {
    case 0: _ = host.machine.pin(frame)
    case 1, 2: host.machine.unpin(frame)
    case 3: _ = host.machine.surrender(frame)
    case 4:
      for frame in 0..<12 as Range<UInt64> {
        _ = host.machine.acquire(MachineFrame(frame), writes: !random.oneIn(12))
      }
    default: _ = host.machine.resize(to: 7 + random.pick(10))
    }
  }

  private func beginning(_ policy: ShadowPolicy) -> ShadowHost {
    let host = ShadowHost(policy, vcpuCount: 2, pageCount: 16)
    for table in 0..<3 as Range<UInt64> { for slot in 0..<2 { host.write(table, slot, table + 1) } }
    for slot in 0..<2 { host.write(3, slot, UInt64(slot) * 3 + 3) }
    for vcpu in 0..<2 { host.load(0, vcpu) }
    return host
  }

  @Test("the canary: processors that keep what the stub takes from them are noticed")
  func canary() {
    let found = (1...40 as ClosedRange<UInt64>).contains { seed in
      var random = Generator(state: seed &* 0x9e37_79b9_7f4a_7c15)
      let host = beginning(.few)
      host.keepsWhatIsStored = true
      for _ in 0..<500 where host.problems.isEmpty { step(host, &random, 2) }
      return !host.problems.isEmpty
    }
    #expect(found)
  }

  @Test("three policies, two vCPUs, shadow memory that does not suffice", arguments: ShadowPolicy.allCases)
  func anything(_ policy: ShadowPolicy) {
    var total = ShadowStatistics()
    for seed in 1...40 as ClosedRange<UInt64> {
      var random = Generator(state: seed &* 0x9e37_79b9_7f4a_7c15)
      let host = beginning(policy)
      for number in 0..<500 {
        step(host, &random, 2)
        guard host.problems.isEmpty else {
          Issue.record("seed \(seed), step \(number): \(host.problems[0])")
          return
        }
        if number % 8 == 0, let imbalance = host.machine.imbalance() {
          Issue.record("seed \(seed), step \(number): \(imbalance)")
          return
        }
      }
      total.pulls += host.machine.statistics.pulls
      total.unsyncs += host.machine.statistics.unsyncs
      total.resyncs += host.machine.statistics.resyncs
      total.evictions += host.machine.statistics.evictions
      total.downgrades += host.machine.statistics.downgrades
    }
    // The guests got somewhere.
    #expect(total.pulls > 500 && total.evictions > 100 && total.downgrades > 500, "\(total)")
    #expect(policy == .none ? total.unsyncs == 0 : total.unsyncs > 100 && total.resyncs > 100, "\(total)")
  }
}
