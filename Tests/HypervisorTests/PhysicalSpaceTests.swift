// SPDX-License-Identifier: Apache-2.0

import Conformance
import Interfaces
import KVM
import Machines
import Testing

@testable import Hypervisor

@Suite("A PVH guest's memory")
struct PhysicalSpaceTests {
  @Test("may have frames from 0 on and from 4 GiB on, and none where the interrupt controllers are")
  func regions() {
    let regions = GuestRegions(memory: 1 << 16)
    #expect(regions.index(of: GuestFrame(0)) == 0)
    let last = GuestFrame(UInt64(regions.lowCount) - 1)
    #expect(regions.index(of: last) == regions.lowCount - 1)
    for none: UInt64 in [UInt64(regions.lowCount), 0xfee00, 0xf_ffff, 1 << 20 + 1 << 18, 1 << 52, UInt64.max]
    {
      #expect(regions.index(of: GuestFrame(none)) == nil)
    }
    #expect(regions.index(of: GuestFrame(1 << 20)) == regions.lowCount)
    #expect(regions.index(of: GuestFrame(1 << 20 + 1 << 18 - 1)) == regions.count - 1)
    let largest = GuestRegions(memory: GuestRegions.largestMemory)
    #expect(largest.lowCount <= 0xfec00, "it ends below the interrupt controllers' addresses")
  }

  @Test("is behind the frames that it was given, and behind no others")
  func map() {
    let map = PhysicalToMachine(GuestRegions(memory: 16))
    #expect(map[GuestFrame(3)] == nil)
    map[GuestFrame(3)] = MachineFrame(77)
    map[GuestFrame(1 << 20 + 5)] = MachineFrame(78)
    map[GuestFrame(1 << 40)] = MachineFrame(79)
    #expect(map[GuestFrame(3)] == MachineFrame(77) && map[GuestFrame(1 << 20 + 5)] == MachineFrame(78))
    #expect(map[GuestFrame(1 << 40)] == nil && map[GuestFrame(4)] == nil)
    map[GuestFrame(3)] = nil
    #expect(map[GuestFrame(3)] == nil)
  }

  @Test("is counted in pieces as if each change counted them anew")
  func pieces() {
    var random = SystemRandomNumberGenerator()
    var frames = [MachineFrame?](repeating: nil, count: 12)
    func borders() -> Int {
      let all = [nil] + frames + [nil]
      return zip(all, all.dropFirst()).count { first, second in
        guard let first, let second else { return (first == nil) != (second == nil) }
        return second.rawValue != first.rawValue + 1
      }
    }
    var count = PieceCount(limit: 9)
    for _ in 0..<2000 {
      let place = Int.random(in: 0..<12, using: &random)
      let new = Bool.random(using: &random) ? nil : MachineFrame(UInt64.random(in: 5..<9, using: &random))
      let more = count.added(
        changing: frames[place], to: new, between: place > 0 ? frames[place - 1] : nil,
        and: place < 11 ? frames[place + 1] : nil)
      guard count.mayGrow(by: more) else {
        #expect(count.count + more > 9)
        continue
      }
      frames[place] = new
      count.count += more
      #expect(count.count == borders())
    }
  }

  @Test("is mapped in a window of this process, page by page")
  func window() throws {
    let file = try MemoryFile(name: "test", byteCount: 4 * 4096)
    let window = try MemoryWindow(on: file, pageCount: 8)
    (file.base + 2 * 4096).storeBytes(of: 42, as: UInt64.self)
    #expect(window.map(1..<3, to: 1))
    #expect((window.base + 2 * 4096).load(as: UInt64.self) == 42)
    (window.base + 4096).storeBytes(of: 43, as: UInt64.self)
    #expect((file.base + 4096).load(as: UInt64.self) == 43)
    #expect(window.map(1..<2, to: 2))
    #expect((window.base + 4096).load(as: UInt64.self) == 42, "one page more shows the same")
    #expect(window.unmap(2))
    #expect((window.base + 4096).load(as: UInt64.self) == 42)
  }

  @Test("is what its grants name, also beside the specification", arguments: [false, true])
  func grants(isChecked: Bool) throws {
    let memory = try MachineMemory(guestFrames: 64)
    let guest = DomainID(1)
    let frames = try memory.allocate(2, for: guest)
    let map = PhysicalToMachine(GuestRegions(memory: 16))
    map[GuestFrame(5)] = frames[1]
    memory.setNames(map, of: guest)
    let machinery: any Machinery =
      isChecked ? CheckedMachinery(monitor: CheckMonitor { Issue.record("\($0)") }) : OptimisedMachinery()
    let tables = machinery.makeGrantTables(frames: memory, memory: memory)
    _ = tables.addDomain(.host, maximumFrames: 0, maximumHandles: 8)
    #expect(tables.addDomain(guest, maximumFrames: 1, maximumHandles: 8) == .okay)
    let entries = try #require(memory.bytes(of: frames[0]))
    #expect(tables.grow(guest, entries: entries) == .okay)
    // Of each entry: flags and domain, then the frame as the guest calls it.
    for (number, frame) in [5, 6, UInt32(frames[1].rawValue)].enumerated() {
      (entries + number * 8).storeBytes(of: 1, as: UInt32.self)
      (entries + number * 8 + 4).storeBytes(of: frame, as: UInt32.self)
    }
    func granted(_ reference: UInt32) -> GrantMapping {
      tables.map(
        GrantMapRequest(granter: guest, reference: GrantReference(reference), readOnly: false), by: .host)
    }
    let mapping = granted(0)
    #expect(mapping.status == .okay && mapping.frame == frames[1])
    #expect(granted(1).status != .okay, "no frame is behind that number")
    #expect(granted(2).status != .okay, "the machine's number is none of the guest's")
    #expect(tables.unmap(mapping.handle, host: true, device: false, by: .host).status == .okay)
    #expect(!memory.transfer(frames[1], from: guest, to: .host), "who names frames otherwise gives none away")
  }

  @Test("needs hardware KVM that passes hypercalls on, and a refusal is one line that says what to use")
  func refusal() throws {
    let cases: [(System.Kind, Bool, String?)] = [
      (.hardware, true, nil), (.hardware, false, "CONFIG_KVM_XEN"), (.software, false, "needs hardware KVM"),
      (.software, true, "needs hardware KVM"),
    ]
    for (kind, passes, reason) in cases {
      try GuestType.pv.checkSupport(on: kind, passingHypercalls: passes)
      do throws(HostError) {
        try GuestType.pvh.checkSupport(on: kind, passingHypercalls: passes)
        #expect(reason == nil)
      } catch {
        let text = error.description
        #expect(reason.map { text.contains($0) } == true && text.contains("type = \"pv\""))
        #expect(!text.contains("\n"))
      }
    }
  }
}
