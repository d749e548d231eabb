// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Machines

@testable import Devices

/// What a guest without sense does to the rings of its network interface, read from bytes, and what must hold whatever
/// it is: nothing is mapped once the back end has worked, each request is answered, frames are of a size that frames have
/// and hold nothing that was not granted, and no page is written that the guest did not offer.
///
/// Frames 8 … 31 may be granted for writing; from 32 on, even ones for reading, and odd ones are not.
public final class NetworkScript {
  private let guest = FakeGuest()
  private var transmit: TransmitServer?
  private var receive: ReceiveServer?
  private var transmitProducer: UInt32 = 0
  private var receiveProducer: UInt32 = 0
  private var isOver = false
  private var complaint: String?

  private static let transmitFrame = 2
  private static let receiveFrame = 3
  private static let readOnly = Set(stride(from: 32, to: 64, by: 2))
  private static let secret = Set(stride(from: 33, to: 64, by: 2))
  private static let readOnlyByte: UInt8 = 0xa7
  private static let secretByte: UInt8 = 0xd5

  /// - Parameter grants: put around the guest's grants, such as a bug that must be found.
  private init(_ grants: (any GrantAccess) -> any GrantAccess) {
    for frame in [Self.transmitFrame, Self.receiveFrame] {
      SharedRingMemory(page: bytes(frame), slotCount: 256, slotSize: 8).initialise()
    }
    for frame in 8..<64 where !Self.secret.contains(frame) {
      guest.grant(frame, readOnly: Self.readOnly.contains(frame))
    }
    for frame in Self.readOnly { fill(frame, Self.readOnlyByte) }
    for frame in Self.secret { fill(frame, Self.secretByte) }
    let access = grants(HostGrants(guest, of: FakeGuest.domain))
    let machinery = OptimisedMachinery()
    transmit = TransmitServer(
      ring: machinery.makeBackRing(page: bytes(Self.transmitFrame), slotCount: 256, slotSize: 12),
      grants: access, largeSegments: true
    ) { [unowned self] frame in
      if !(14...0xffff).contains(frame.count) { complain("a frame of \(frame.count) bytes is sent") }
      if Self.holdsSecret(frame) { complain("a frame is sent of what the guest did not grant") }
    }
    receive = ReceiveServer(
      ring: machinery.makeBackRing(page: bytes(Self.receiveFrame), slotCount: 256, slotSize: 8),
      grants: access)
  }

  /// Does what the bytes say.
  /// - Returns: what does not hold; nil if all does.
  public static func run(
    _ bytes: UnsafeBufferPointer<UInt8>, _ grants: (any GrantAccess) -> any GrantAccess = { $0 }
  ) -> String? {
    let script = NetworkScript(grants)
    var reader = ScriptReader(bytes)
    while !script.isOver, script.complaint == nil, let operation = reader.next() {
      script.perform(operation & 0xf, &reader)
    }
    script.checkPages()
    return script.complaint
  }

  private func bytes(_ frame: Int) -> UnsafeMutableRawPointer {
    guard let start = guest.page(frame).baseAddress else { preconditionFailure("a page lies somewhere") }
    return start
  }

  private func fill(_ frame: Int, _ byte: UInt8) {
    guest.page(frame).initializeMemory(as: UInt8.self, repeating: byte)
  }

  private func complain(_ text: String) { complaint = complaint ?? text }

  // MARK: What the guest does

  private func perform(_ operation: UInt8, _ reader: inout ScriptReader) {
    switch operation {
    case 0: putTransmitSlot(&reader)
    case 1: putRawSlot(&reader)
    case 2:
      bytes(Self.transmitFrame).storeBytes(of: transmitProducer, as: UInt32.self)
      workTransmit()
    case 3: workTransmit()
    case 4: offer(&reader)
    case 5:
      let frame = [UInt8](repeating: 0x3c, count: Int(reader.word()) & 0x1fff)
      frame.withUnsafeBytes { receive?.add($0) }
    case 6: workReceive()
    case 7: changeGrant(Int(reader.byte()) & 63, reader.byte())
    case 8:
      let word = reader.byte()
      let page = bytes(word & 4 == 0 ? Self.transmitFrame : Self.receiveFrame)
      let value = UInt32(reader.word()) | UInt32(reader.word()) << 16
      page.storeBytes(of: value, toByteOffset: 4 * Int(word & 3), as: UInt32.self)
    case 9: write(&reader, count: Int(reader.byte()) & 0x3f)
    case 10: writePacket(&reader)
    default: break
    }
  }

  private func putTransmitSlot(_ reader: inout ScriptReader) {
    let slot = bytes(Self.transmitFrame) + 64 + 12 * Int(transmitProducer & 255)
    slot.storeBytes(of: UInt32(reader.byte()), as: UInt32.self)
    slot.storeBytes(of: reader.word(), toByteOffset: 4, as: UInt16.self)
    slot.storeBytes(of: UInt16(reader.byte()), toByteOffset: 6, as: UInt16.self)
    slot.storeBytes(of: UInt16(reader.byte()), toByteOffset: 8, as: UInt16.self)
    slot.storeBytes(of: reader.word(), toByteOffset: 10, as: UInt16.self)
    transmitProducer &+= 1
  }

  /// A slot of any content: extra information, or references that nothing was granted under.
  private func putRawSlot(_ reader: inout ScriptReader) {
    let slot = bytes(Self.transmitFrame) + 64 + 12 * Int(transmitProducer & 255)
    for offset in 0..<12 { slot.storeBytes(of: reader.byte(), toByteOffset: offset, as: UInt8.self) }
    transmitProducer &+= 1
  }

  private func offer(_ reader: inout ScriptReader) {
    let page = bytes(Self.receiveFrame)
    let slot = page + 64 + 8 * Int(receiveProducer & 255)
    slot.storeBytes(of: UInt32(reader.byte()), as: UInt32.self)
    slot.storeBytes(of: UInt32(reader.byte()), toByteOffset: 4, as: UInt32.self)
    receiveProducer &+= 1
    page.storeBytes(of: receiveProducer, as: UInt32.self)
  }

  private func changeGrant(_ frame: Int, _ kind: UInt8) {
    guard frame >= 8, !Self.secret.contains(frame) else { return }
    _ = guest.table.endAccess(GrantReference(UInt32(frame)))
    if kind & 1 != 0 { guest.grant(frame, readOnly: kind & 2 != 0 || Self.readOnly.contains(frame)) }
  }

  /// Writes bytes of the script into a page.
  private func write(_ reader: inout ScriptReader, count: Int) {
    let page = guest.page(8 + Int(reader.byte()) % 24)
    let offset = Int(reader.word()) % frameSize
    for index in offset..<min(offset + count, frameSize) {
      let byte = reader.byte()
      page[index] = byte == Self.secretByte ? 0 : byte
    }
  }

  /// Writes the headers of a packet of IPv4 to the beginning of a page.
  private func writePacket(_ reader: inout ScriptReader) {
    let page = guest.page(8 + Int(reader.byte()) % 24)
    page[12] = 0x08
    page[13] = 0
    page[14] = 0x40 | reader.byte() & 0xf
    let size = reader.word()
    page[16] = UInt8(size >> 8)
    page[17] = UInt8(size & 0xff)
    page[20] = 0
    page[21] = 0
    page[23] = reader.byte() & 1 == 0 ? 6 : 17
  }

  // MARK: What must hold

  private func workTransmit() {
    do throws(RingError) {
      guard let transmit else { return }
      let hasMore = try transmit.work {}
      let page = bytes(Self.transmitFrame)
      if !hasMore, page.load(as: UInt32.self) != page.load(fromByteOffset: 8, as: UInt32.self) {
        complain("not every request is answered")
      }
    } catch {
      isOver = true
    }
    checkMappings()
  }

  private func workReceive() {
    do throws(RingError) { try receive?.work {} } catch { isOver = true }
    checkMappings()
  }

  /// Whether there are more of a secret page's bytes than a checksum has.
  private static func holdsSecret(_ frame: UnsafeRawBufferPointer) -> Bool {
    var count = 0
    for byte in frame {
      count = byte == secretByte ? count + 1 : 0
      if count > 2 { return true }
    }
    return false
  }

  private func checkMappings() {
    if !guest.mappedFrames.isEmpty { complain("frames \(guest.mappedFrames) are still mapped") }
  }

  private func checkPages() {
    for (frames, byte) in [(Self.readOnly, Self.readOnlyByte), (Self.secret, Self.secretByte)] {
      for frame in frames where guest.page(frame).contains(where: { $0 != byte }) {
        complain("frame \(frame) was written, which the guest did not offer")
      }
    }
  }
}
