// SPDX-License-Identifier: Apache-2.0

import Conformance
import Glibc
import Interfaces
import Machines
import Testing

@testable import Hypervisor

/// Whether this machine has a /dev/kvm that this user may open.
let haveKVM = access("/dev/kvm", R_OK | W_OK) == 0

/// A domain with flat tables (address = guest frame × 4096) and a few instructions.
final class TinyGuest {
  static let frameCount = 64
  static let tables = (levelFour: GuestFrame(1), levelThree: GuestFrame(2), levelTwo: GuestFrame(3))
  static let levelOne = GuestFrame(4)
  static let code: UInt64 = 0x8000
  static let stack: UInt64 = 0xc000
  /// A page for results, and one for arguments.
  static let results: UInt64 = 0xd000
  static let scratch: UInt64 = 0xe000
  /// A page that the guest may do with as it likes.
  static let spare: UInt64 = 0x10000

  let host: Host
  let domain: Domain
  /// The PV side of the domain.
  let paravirtual: ParavirtualSpace

  /// With LOCKSTEP_CHECK=1 in the environment all guests of the tests, the hostile ones too, run beside the specifications.
  private static var machinery: any Machinery {
    guard getenv("LOCKSTEP_CHECK") != nil else { return OptimisedMachinery() }
    return CheckedMachinery(monitor: CheckMonitor { Issue.record("\($0)") })
  }

  init(host: Host? = nil, virtualCPUs: Int = 1) throws {
    self.host = try host ?? Host(guestFrames: 1024, machinery: Self.machinery)
    domain = try self.host.createDomain(
      DomainConfiguration(name: "tiny", frameCount: Self.frameCount, virtualCPUCount: virtualCPUs))
    paravirtual = try #require(domain.space as? ParavirtualSpace)
    let table: UInt64 = 7
    setEntry(Self.tables.levelFour, 0, machine(Self.tables.levelThree) | table)
    setEntry(Self.tables.levelThree, 0, machine(Self.tables.levelTwo) | table)
    setEntry(Self.tables.levelTwo, 0, machine(Self.levelOne) | table)
    for index in 0..<Self.frameCount {
      // Page tables are read-only, as the ABI has it; 0 is not mapped.
      let flags: UInt64 = index == 0 ? 0 : (1...4).contains(index) ? 0x25 : 0x67
      setEntry(Self.levelOne, index, flags == 0 ? 0 : machine(GuestFrame(UInt64(index))) | flags)
    }
  }

  /// The machine address of a guest frame.
  func machine(_ frame: GuestFrame) -> UInt64 { domain.machineFrame(of: frame)?.address.rawValue ?? 0 }

  func setEntry(_ table: GuestFrame, _ index: Int, _ value: UInt64) {
    domain.bytes(of: table)?.storeBytes(of: value, toByteOffset: index * 8, as: UInt64.self)
  }

  /// A word of the guest's memory.
  func word(_ address: UInt64) -> UInt64 {
    domain.bytes(of: GuestFrame(address >> 12))?
      .load(fromByteOffset: Int(address & 0xfff), as: UInt64.self) ?? 0
  }

  func store(_ value: UInt64, at address: UInt64) {
    domain.bytes(of: GuestFrame(address >> 12))?
      .storeBytes(of: value, toByteOffset: Int(address & 0xfff), as: UInt64.self)
  }

  /// A result that the guest stored.
  func result(_ index: Int = 0) -> Int64 { Int64(bitPattern: word(Self.results + UInt64(index) * 8)) }

  func load(_ bytes: [UInt8], at address: UInt64) {
    for (index, byte) in bytes.enumerated() {
      let place = address + UInt64(index)
      domain.bytes(of: GuestFrame(place >> 12))?[Int(place & 0xfff)] = byte
    }
  }

  var initialState: InitialState {
    InitialState(
      entry: VirtualAddress(Self.code), stack: VirtualAddress(Self.stack), startInfo: VirtualAddress(0),
      root: MachineAddress(machine(Self.tables.levelFour)).frame)
  }

  deinit { _ = host.destroyDomain(domain) }

  /// Runs the guest to its end, which must come within some seconds.
  func run(_ program: (inout Assembler) throws -> Void) throws -> DomainEnd {
    var assembler = Assembler()
    try program(&assembler)
    load(assembler.bytes, at: Self.code)
    try domain.start(initialState)
    let guarded = domain
    let watchdog = try Thread {
      for _ in 0..<1000 where !guarded.hasEnded { usleep(10_000) }
      guarded.crash("the test's time is up")
    }
    let end = domain.wait()
    watchdog.join()
    return end
  }
}
