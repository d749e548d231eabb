// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines
import Testing

@Suite("Copying through grants")
struct GrantCopyTests {
  /// Domain 2 copies 8 bytes from its frame 20 to domain 1's frame 11, granted at entry 5, unless the case says
  /// otherwise.
  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var entry = GrantEntry(flags: .permitAccess, domain: two, frame: 11)
    var source = GrantCopyEnd.frame(MachineFrame(20))
    var sourceOffset = 0
    var destination = GrantCopyEnd.grant(one, GrantReference(5))
    var destinationOffset = 0
    var count = 8
    var caller = two
    var status: GrantStatus
    var testDescription: String { name }
  }

  static let granted = GrantCopyEnd.grant(one, GrantReference(5))
  static let readOnly = GrantEntry(flags: [.permitAccess, .readOnly], domain: two, frame: 11)

  static let cases = [
    Case(name: "into a grant", status: .okay),
    Case(name: "out of a grant", source: granted, destination: .frame(MachineFrame(20)), status: .okay),
    Case(name: "within one's own", destination: .frame(MachineFrame(21)), status: .okay),
    Case(name: "from a grant into itself", source: granted, destinationOffset: 100, status: .okay),
    Case(
      name: "out of a read-only grant", entry: readOnly, source: granted,
      destination: .frame(MachineFrame(20)), status: .okay),
    Case(name: "into a read-only grant", entry: readOnly, status: .generalError),
    Case(name: "from a frame of another", source: .frame(MachineFrame(30)), status: .badPage),
    Case(name: "into a frame of another", destination: .frame(MachineFrame(30)), status: .badPage),
    Case(
      name: "from a grant into a frame of another", source: granted, destination: .frame(MachineFrame(11)),
      status: .badPage),
    Case(name: "by an unknown domain", caller: DomainID(9), status: .badDomain),
    Case(
      name: "into an unknown domain", destination: .grant(DomainID(9), GrantReference(5)), status: .badDomain),
    Case(
      name: "into a reference out of range", destination: .grant(one, GrantReference(512)),
      status: .badReference),
    Case(
      name: "into another's grant", entry: GrantEntry(flags: .permitAccess, domain: three, frame: 11),
      status: .generalError),
    Case(
      name: "into a grant of no frame", entry: GrantEntry(flags: .permitAccess, domain: two, frame: 22),
      status: .generalError),
    Case(name: "a whole frame", count: 4096, status: .okay),
    Case(
      name: "nothing, at the very end", sourceOffset: 4096, destinationOffset: 4096, count: 0, status: .okay),
    Case(name: "beyond the source", sourceOffset: 4089, status: .badCopyArgument),
    Case(name: "beyond the destination", destinationOffset: 4089, status: .badCopyArgument),
    Case(name: "too much", count: 4097, status: .badCopyArgument),
    Case(name: "less than nothing", count: -1, status: .badCopyArgument),
    Case(name: "before the source", sourceOffset: -1, status: .badCopyArgument),
    Case(name: "far beyond", sourceOffset: .max, count: .max, status: .badCopyArgument),
    Case(name: "far before", destinationOffset: .min, count: .min, status: .badCopyArgument),
  ]

  @Test(
    "A copy gives the status that the ABI says, copies if it is okay, and leaves no trace", arguments: cases)
  func statuses(of item: Case) {
    let host = GrantHost()
    host[one, 5] = item.entry
    for frame in 0..<TestFrames.count {
      (host.frames.pool + frame * frameSize)
        .initializeMemory(as: UInt8.self, repeating: UInt8(frame), count: frameSize)
    }
    let status = host.tables.copy(
      from: item.source, at: item.sourceOffset, to: item.destination, at: item.destinationOffset,
      count: item.count, by: item.caller)
    #expect(status == item.status)
    for frame in 0..<TestFrames.count {
      for offset in 0..<frameSize {
        let isTarget =
          status == .okay && frame == Self.number(of: item.destination)
          && offset - item.destinationOffset >= 0 && offset - item.destinationOffset < item.count
        let expected = isTarget ? Self.number(of: item.source) : frame
        let found = host.frames.pool.load(fromByteOffset: frame * frameSize + offset, as: UInt8.self)
        if found != UInt8(expected) { Issue.record("frame \(frame), byte \(offset): \(found)") }
      }
    }
    #expect(host[one, 5] == item.entry)
    #expect(host.references == 0)
  }

  private static func number(of end: GrantCopyEnd) -> Int {
    if case .frame(let frame) = end { Int(frame.rawValue) } else { 11 }
  }

  @Test("Ranges of one frame that overlap are copied as if by way of a third place", arguments: [0, 3, 5, 8])
  func overlap(destination: Int) throws {
    let host = GrantHost()
    let bytes = try #require(host.frames.bytes(of: MachineFrame(20)))
    for offset in 0..<16 { bytes.storeBytes(of: UInt8(offset), toByteOffset: offset, as: UInt8.self) }
    let end = GrantCopyEnd.frame(MachineFrame(20))
    #expect(host.tables.copy(from: end, at: 4, to: end, at: destination, count: 8, by: two) == .okay)
    for offset in 0..<8 {
      #expect(bytes.load(fromByteOffset: destination + offset, as: UInt8.self) == UInt8(4 + offset))
    }
  }

  @Test("A copy leaves the flags of mappings that stand")
  func besideMappings() {
    let host = GrantHost()
    host[one, 5] = GrantEntry(flags: .permitAccess, domain: two, frame: 11)
    _ = host.map(5, readOnly: true)
    let own = GrantCopyEnd.frame(MachineFrame(20))
    #expect(host.tables.copy(from: own, at: 0, to: Self.granted, at: 0, count: 8, by: two) == .okay)
    #expect(host[one, 5].flags == [.permitAccess, .reading])
    _ = host.map(5)
    #expect(host.tables.copy(from: Self.granted, at: 0, to: own, at: 0, count: 8, by: two) == .okay)
    #expect(host[one, 5].flags == [.permitAccess, .reading, .writing])
    #expect(host.references == 2)
  }
}
