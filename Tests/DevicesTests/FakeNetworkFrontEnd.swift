// SPDX-License-Identifier: Apache-2.0

import FakeGuests
import Interfaces
import Machines

@testable import Devices

/// The guest's side of a network interface's two rings, in frames 2 (transmit) and 3 (receive).
final class FakeNetworkFrontEnd {
  let guest: FakeGuest
  let transmit: OptimisedFrontRing
  let receive: OptimisedFrontRing

  static let transmitFrame = 2
  static let receiveFrame = 3

  init(_ guest: FakeGuest) {
    self.guest = guest
    for frame in [Self.transmitFrame, Self.receiveFrame] {
      guest.grant(frame)
      SharedRingMemory(page: guest.page(frame).baseAddress!, slotCount: 256, slotSize: 8).initialise()
    }
    transmit = OptimisedFrontRing(
      page: guest.page(Self.transmitFrame).baseAddress!, slotCount: 256, slotSize: 12)
    receive = OptimisedFrontRing(
      page: guest.page(Self.receiveFrame).baseAddress!, slotCount: 256, slotSize: 8)
  }

  func makeRing(_ frame: Int, slotSize: Int) -> any BackRing {
    OptimisedMachinery().makeBackRing(
      page: guest.page(frame).baseAddress!, slotCount: NetworkRing.slotCount, slotSize: slotSize)
  }

  // MARK: transmitting

  static let checksumBlank: UInt16 = 1
  static let moreData: UInt16 = 4
  static let extraInfo: UInt16 = 8

  /// A part's slot.
  static func part(
    _ reference: UInt32, _ offset: UInt16, size: UInt16, flags: UInt16 = 0, identifier: UInt16 = 7
  ) -> [UInt8] {
    slot(12) { bytes in
      bytes.storeBytes(of: reference, toByteOffset: 0, as: UInt32.self)
      bytes.storeBytes(of: offset, toByteOffset: 4, as: UInt16.self)
      bytes.storeBytes(of: flags, toByteOffset: 6, as: UInt16.self)
      bytes.storeBytes(of: identifier, toByteOffset: 8, as: UInt16.self)
      bytes.storeBytes(of: size, toByteOffset: 10, as: UInt16.self)
    }
  }

  /// The slot of extra information on segmentation.
  static func extra(type: UInt8 = 1, flags: UInt8 = 0, segment: UInt16 = 1448, kind: UInt8 = 1) -> [UInt8] {
    slot(12) { bytes in
      bytes[0] = type
      bytes[1] = flags
      bytes.storeBytes(of: segment, toByteOffset: 2, as: UInt16.self)
      bytes[4] = kind
    }
  }

  private static func slot(_ size: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) -> [UInt8] {
    var slot = [UInt8](repeating: 0, count: size)
    slot.withUnsafeMutableBytes(fill)
    return slot
  }

  func put(_ slots: [[UInt8]]) {
    for slot in slots { slot.withUnsafeBytes { transmit.putRequest($0) } }
    _ = transmit.pushRequests()
  }

  struct TransmitAnswer: Hashable {
    var identifier: UInt16
    var status: Int16
  }

  /// All responses there are.
  func takeAnswers() throws -> [TransmitAnswer] {
    var answers: [TransmitAnswer] = []
    var slot = [UInt8](repeating: 0xff, count: 12)
    repeat {
      while try slot.withUnsafeMutableBytes({ try transmit.takeResponse(into: $0) }) {
        answers.append(
          slot.withUnsafeBytes {
            TransmitAnswer(
              identifier: $0.load(as: UInt16.self), status: $0.load(fromByteOffset: 2, as: Int16.self))
          })
      }
    } while try transmit.finalCheckForResponses()
    return answers
  }

  // MARK: receiving

  /// Offers a page.
  /// - Returns: whether the back end asked for an event.
  @discardableResult
  func offer(_ reference: UInt32, identifier: UInt16 = 9) -> Bool {
    let slot = Self.slot(8) { bytes in
      bytes.storeBytes(of: identifier, toByteOffset: 0, as: UInt16.self)
      bytes.storeBytes(of: reference, toByteOffset: 4, as: UInt32.self)
    }
    slot.withUnsafeBytes { receive.putRequest($0) }
    return receive.pushRequests()
  }

  struct Received: Hashable {
    var identifier: UInt16
    var offset: UInt16
    var flags: UInt16
    var status: Int16
  }

  /// The next frame received.
  func takeReceived() throws -> Received? {
    var slot = [UInt8](repeating: 0xff, count: 8)
    guard try slot.withUnsafeMutableBytes({ try receive.takeResponse(into: $0) }) else { return nil }
    return slot.withUnsafeBytes {
      Received(
        identifier: $0.load(as: UInt16.self), offset: $0.load(fromByteOffset: 2, as: UInt16.self),
        flags: $0.load(fromByteOffset: 4, as: UInt16.self), status: $0.load(fromByteOffset: 6, as: Int16.self)
      )
    }
  }
}

/// Frames of the test's own making.
enum Frame {
  /// An Ethernet frame with a packet of IPv4, its own checksum right.
  static func ipv4(
    protocolNumber: UInt8, payload: [UInt8], destination: [UInt8] = [10, 0, 2, 2], fragment: UInt16 = 0
  ) -> [UInt8] {
    let size = UInt16(20 + payload.count)
    var header: [UInt8] = [0x45, 0, UInt8(size >> 8), UInt8(size & 0xff), 0, 1]
    header += [UInt8(fragment >> 8), UInt8(fragment & 0xff), 64, protocolNumber, 0, 0, 10, 0, 2, 15]
    header += destination
    let sum = checksum(header)
    header[10] = UInt8(sum >> 8)
    header[11] = UInt8(sum & 0xff)
    return ethernet(0x0800) + header + payload
  }

  static func ethernet(_ type: UInt16) -> [UInt8] {
    [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x16, 0x3e, 0, 0, 1, UInt8(type >> 8), UInt8(type & 0xff)]
  }

  /// A TCP segment, its checksum blank.
  static func tcp(from source: UInt16, to port: UInt16, flags: UInt8, data: [UInt8] = []) -> [UInt8] {
    [UInt8(source >> 8), UInt8(source & 0xff), UInt8(port >> 8), UInt8(port & 0xff)]
      + [0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0x40, 0, 0xab, 0xcd, 0, 0] + data
  }

  /// A UDP datagram, its checksum blank.
  static func udp(from source: UInt16, to port: UInt16, data: [UInt8]) -> [UInt8] {
    let size = UInt16(8 + data.count)
    return [UInt8(source >> 8), UInt8(source & 0xff), UInt8(port >> 8), UInt8(port & 0xff)]
      + [UInt8(size >> 8), UInt8(size & 0xff), 0xab, 0xcd] + data
  }

  /// The internet checksum, word by word as RFC 1071 has it.
  static func checksum(_ bytes: [UInt8]) -> UInt16 {
    var sum = 0
    for index in stride(from: 0, to: bytes.count, by: 2) {
      sum += Int(bytes[index]) << 8 | (index + 1 < bytes.count ? Int(bytes[index + 1]) : 0)
    }
    while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
    return ~UInt16(sum)
  }

  /// What the checksum over an IPv4 packet's payload and pseudo-header comes to: 0 if the one within is right.
  static func residue(_ frame: [UInt8]) -> UInt16 {
    let payload = Array(frame[34...])
    let size = [0, frame[23], UInt8(payload.count >> 8), UInt8(payload.count & 0xff)]
    return checksum(Array(frame[26..<34]) + size + payload)
  }
}
