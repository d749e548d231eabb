// SPDX-License-Identifier: Apache-2.0

import FakeGuests
import Interfaces
import Machines
import Testing

@testable import Devices

/// A front end whose frame n holds the byte n, and what it has transmitted.
private final class Bench {
  let guest = FakeGuest()
  let frontEnd: FakeNetworkFrontEnd
  private(set) var server: TransmitServer!
  var sent: [[UInt8]] = []

  init(readOnly: Bool = true, largeSegments: Bool = true) {
    frontEnd = FakeNetworkFrontEnd(guest)
    for frame in 10..<40 {
      guest.grant(frame, readOnly: readOnly)
      guest.page(frame).initializeMemory(as: UInt8.self, repeating: UInt8(frame))
    }
    server = TransmitServer(
      ring: frontEnd.makeRing(FakeNetworkFrontEnd.transmitFrame, slotSize: 12),
      grants: HostGrants(guest, of: FakeGuest.domain), largeSegments: largeSegments
    ) { [unowned self] in sent.append(Array($0)) }
  }

  /// Has slots served; returns the answers, one for each.
  func answers(_ slots: [[UInt8]]) throws -> [FakeNetworkFrontEnd.TransmitAnswer] {
    frontEnd.put(slots)
    var events = 0
    #expect(try !server.work { events += 1 })
    #expect(events == 1 && guest.mappedFrames == [])
    let answers = try frontEnd.takeAnswers()
    #expect(answers.count == slots.count)
    return answers
  }

  /// The statuses of slots that make no sense: nothing is sent.
  func refusals(_ slots: [[UInt8]]) throws -> Set<Int16> {
    let before = sent.count
    let statuses = Set(try answers(slots).map(\.status))
    #expect(sent.count == before)
    return statuses
  }

  /// Transmits a frame's bytes whose checksum is blank; returns what is sent.
  func completed(_ frame: [UInt8]) throws -> [UInt8]? {
    guest.page(20).copyBytes(from: frame)
    let before = sent.count
    let flags = FakeNetworkFrontEnd.checksumBlank
    let answer = try answers([FakeNetworkFrontEnd.part(20, 0, size: UInt16(frame.count), flags: flags)])[0]
    #expect(answer.status == (sent.count > before ? 0 : -2))
    return sent.count > before ? sent.last : nil
  }
}

private typealias Front = FakeNetworkFrontEnd

@Suite("What a guest transmits")
struct TransmitServerTests {
  @Test("is the bytes that a slot names, of a page that may only be read")
  func whole() throws {
    let bench = Bench()
    #expect(try bench.answers([Front.part(10, 4000, size: 96)]) == [.init(identifier: 7, status: 0)])
    #expect(bench.sent == [Array(repeating: 10, count: 96)])
  }

  @Test("may be scattered over eighteen pages, and no more")
  func scattered() throws {
    let bench = Bench()
    func parts(_ count: Int) -> [[UInt8]] {
      (0..<count).map { index in
        Front.part(
          UInt32(10 + index), UInt16(index), size: UInt16(index == 0 ? 100 * count : 100),
          flags: index + 1 < count ? Front.moreData : 0, identifier: UInt16(index))
      }
    }
    #expect(try bench.answers(parts(18)) == (0..<18).map { .init(identifier: $0, status: 0) })
    #expect(bench.sent == [(10..<28).flatMap { Array(repeating: UInt8($0), count: 100) }])
    #expect(try bench.refusals(parts(19)) == [-1])
    #expect(try bench.answers(parts(1))[0].status == 0)
  }

  @Test("may be a large segment of TCP, whose extra slot has an answer of its own")
  func segmentation() throws {
    let bench = Bench()
    let slots =
      [
        Front.part(10, 0, size: 65535, flags: Front.extraInfo | Front.moreData), Front.extra(),
      ]
      + (11...26).map { page in
        Front.part(UInt32(page), 0, size: page < 26 ? 4096 : 95, flags: page < 26 ? Front.moreData : 0)
      }
    // The first part is what the others leave of the whole: 65535 - 15 × 4096 - 95 = 4000.
    let answers = try bench.answers(slots)
    #expect(answers.filter { $0.status == 0 }.count == 17 && answers.filter { $0.status == 1 }.count == 1)
    let sent = try #require(bench.sent.first)
    #expect(sent.count == 65535 && sent[3999] == 10 && sent[4000] == 11 && sent[65534] == 26)
  }

  @Test("is refused where slots make no sense, and each is answered")
  func refusals() throws {
    let bench = Bench()
    #expect(try bench.refusals([Front.part(10, 0, size: 0)]) == [-1])
    #expect(try bench.refusals([Front.part(10, 0, size: 13)]) == [-1])
    #expect(try bench.refusals([Front.part(10, 4083, size: 14)]) == [-1])
    #expect(try bench.refusals([Front.part(10, .max, size: .max)]) == [-1])
    #expect(try bench.refusals([Front.part(60, 0, size: 100)]) == [-1])
    #expect(try bench.refusals([Front.part(.max, 0, size: 100)]) == [-1])
    #expect(try bench.refusals([Front.part(10, 0, size: 100, flags: Front.moreData)]) == [-1])
    #expect(try bench.refusals([Front.part(10, 0, size: 100, flags: Front.extraInfo)]) == [-1])
    func two(_ whole: UInt16, _ second: [UInt8]) -> [[UInt8]] {
      [Front.part(10, 0, size: whole, flags: Front.moreData), second]
    }
    #expect(try bench.refusals(two(100, Front.part(11, 0, size: 101))) == [-1])
    #expect(try bench.refusals(two(100, Front.part(11, 4090, size: 10))) == [-1])
    #expect(try bench.refusals(two(5000, Front.part(11, 0, size: 10))) == [-1])
    #expect(try bench.refusals(two(100, Front.part(60, 0, size: 10))) == [-1])
    #expect(try bench.refusals(two(100, Front.part(11, 0, size: 10, flags: Front.extraInfo))) == [-1])
  }

  @Test("is refused with extra information that was not offered")
  func extras() throws {
    let bench = Bench()
    let first = Front.part(10, 0, size: 100, flags: Front.extraInfo)
    for extra in [Front.extra(type: 0), Front.extra(type: 2), Front.extra(kind: 2), Front.extra(segment: 0)] {
      #expect(try bench.refusals([first, extra]) == [-1, 1])
    }
    #expect(try bench.refusals([first, Front.extra(flags: 1), Front.extra()]) == [-1, 1])
    #expect(try bench.refusals([first, Front.extra(flags: 1)]) == [-1, 1])
    #expect(try bench.answers([first, Front.extra()]).map(\.status) == [0, 1])
    #expect(try Bench(largeSegments: false).refusals([first, Front.extra()]) == [-1, 1])
  }

  @Test("never ends, and is answered all the same", arguments: [false, true])
  func endless(ofExtras: Bool) throws {
    let bench = Bench()
    for _ in 0..<3 {
      let first = Front.part(10, 0, size: 100, flags: ofExtras ? Front.extraInfo : Front.moreData)
      let next = ofExtras ? Front.extra(flags: 1) : Front.part(11, 0, size: 1, flags: Front.moreData)
      #expect(try bench.refusals([first] + Array(repeating: next, count: 255)).contains(-1))
    }
    #expect(try bench.answers([Front.part(10, 0, size: 14)])[0].status == 0)
  }

  @Test("gets the checksum that it was left without")
  func checksums() throws {
    let bench = Bench()
    for count in [0, 1, 2, 3, 4, 5, 1399, 1400] {
      let data = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 7) }
      for frame in [
        Frame.ipv4(protocolNumber: 6, payload: Frame.tcp(from: 1, to: 2, flags: 0x10, data: data)),
        Frame.ipv4(protocolNumber: 17, payload: Frame.udp(from: 1, to: 2, data: data)),
      ] {
        let sent = try #require(try bench.completed(frame))
        #expect(sent.count == frame.count && Frame.residue(sent) == 0 && Frame.residue(frame) != 0)
      }
    }
    // A datagram whose sum is 0xffff: its checksum is not 0, which would say that there is none.
    var datagram = Frame.ipv4(protocolNumber: 17, payload: Frame.udp(from: 0, to: 0, data: [0, 0]))
    datagram[40] = 0
    datagram[41] = 0
    let rest = Frame.residue(datagram)
    datagram[42] = UInt8(rest >> 8)
    datagram[43] = UInt8(rest & 0xff)
    let sent = try #require(try bench.completed(datagram))
    #expect(sent[40] == 0xff && sent[41] == 0xff)
  }

  @Test("is dropped if it has no place for the checksum that it was left without")
  func noChecksum() throws {
    let bench = Bench()
    let tcp = Frame.ipv4(protocolNumber: 6, payload: Frame.tcp(from: 1, to: 2, flags: 2))
    var frames = [
      Frame.ethernet(0x86dd) + Array(repeating: 0, count: 60), Frame.ethernet(0x0800),
      Frame.ipv4(protocolNumber: 1, payload: Array(repeating: 0, count: 60)), Array(tcp.dropLast()),
      Frame.ipv4(protocolNumber: 6, payload: Array(repeating: 0, count: 19)),
      Frame.ipv4(protocolNumber: 17, payload: Array(repeating: 0, count: 7)),
      Frame.ipv4(protocolNumber: 6, payload: Frame.tcp(from: 1, to: 2, flags: 2), fragment: 0x2000),
    ]
    // A header that is too short, one longer than the packet, a packet shorter than its header, another version.
    for (offset, value) in [(14, 0x44), (14, 0x4f), (17, 19), (14, 0x65)] as [(Int, UInt8)] {
      frames.append(tcp)
      frames[frames.count - 1][offset] = value
    }
    for frame in frames { #expect(try bench.completed(frame) == nil) }
  }

  @Test("is taken by and by: others have their turn")
  func batches() throws {
    let bench = Bench()
    bench.frontEnd.put(Array(repeating: Front.part(10, 0, size: 14), count: 100))
    #expect(try bench.server.work {} && bench.sent.count == 64)
    #expect(try !bench.server.work {} && bench.sent.count == 100)
    #expect(try bench.frontEnd.takeAnswers().count == 100)
  }

  @Test("is given up on a ring whose producer makes no sense")
  func corrupt() throws {
    let bench = Bench()
    bench.guest.page(Front.transmitFrame).storeBytes(of: 257, toByteOffset: 0, as: UInt32.self)
    #expect(throws: RingError.producerOutOfRange(producer: 257, consumer: 0, size: 256)) {
      try bench.server.work {}
    }
  }

  @Test("is answered slot by slot, whatever it is", arguments: [1, 2, 3, 4])
  func random(seed: UInt64) throws {
    var random = SystemRandom(state: seed)
    let bench = Bench(readOnly: seed % 2 == 0)
    for _ in 0..<1000 {
      let slots = (0..<1 + random.below(24)).map { index in
        let isLikely = random.below(4) > 0
        return Front.part(
          UInt32(random.below(isLikely ? 30 : 80) + 10), UInt16(random.below(isLikely ? 2000 : 65536)),
          size: UInt16(random.below(isLikely ? (index == 0 ? 9000 : 800) : 65536)),
          flags: UInt16(random.below(16) & (isLikely ? 4 : 15)), identifier: UInt16(index))
      }
      _ = try bench.answers(slots)
    }
    #expect(bench.sent.count > 300)
    #expect(bench.sent.allSatisfy { (14...65535).contains($0.count) })
  }
}
