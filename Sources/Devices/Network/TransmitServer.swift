// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// Takes the frames that a guest transmits off their ring. Belongs to one thread.
final class TransmitServer {
  private let ring: any BackRing
  private let grants: any GrantAccess
  private let largeSegments: Bool
  private let send: (UnsafeRawBufferPointer) -> Void
  /// The request under way, and then its response.
  private let slot = UnsafeMutableRawBufferPointer.allocate(
    byteCount: NetworkRing.transmitSlotSize, alignment: 8)
  /// The frame under way: the guest cannot change it any more.
  private let frame = UnsafeMutableRawBufferPointer.allocate(
    byteCount: NetworkRing.maximumFrame, alignment: 8)

  /// Frames that are taken before others have their turn.
  private static let batch = 64

  /// - Parameters:
  ///   - largeSegments: whether the guest was offered to transmit them.
  ///   - send: given each frame, whose bytes are its own until it returns.
  init(
    ring: any BackRing, grants: any GrantAccess, largeSegments: Bool,
    send: @escaping (UnsafeRawBufferPointer) -> Void
  ) {
    self.largeSegments = largeSegments
    self.ring = ring
    self.grants = grants
    self.send = send
    slot.initializeMemory(as: UInt8.self, repeating: 0)
    frame.initializeMemory(as: UInt8.self, repeating: 0)
  }

  deinit {
    slot.deallocate()
    frame.deallocate()
  }

  /// Takes the frames there are, or as many as others can wait for.
  /// - Parameter notify: called when the guest asked for an event.
  /// - Returns: whether there may be more. If not, the next one raises an event.
  func work(notify: () -> Void) throws(RingError) -> Bool {
    var count = 0
    repeat {
      while count < Self.batch, let packet = try takePacket() {
        answer(packet, perform(packet))
        count += 1
      }
      if ring.pushResponses() { notify() }
      if count >= Self.batch { return true }
    } while try ring.finalCheckForRequests()
    return false
  }

  /// Takes the slots of one frame. However many they are, there is an end: a ring has no more of them than slots until
  /// they are answered.
  private func takePacket() throws(RingError) -> TransmitPacket? {
    guard try ring.takeRequest(into: slot) else { return nil }
    var packet = TransmitPacket(first: TransmitRequest(UnsafeRawBufferPointer(slot)))
    var hasExtras = packet.hasExtras
    while hasExtras || packet.hasMore {
      guard try ring.takeRequest(into: slot) else {
        packet.isCutOff()
        break
      }
      if hasExtras {
        let extra = NetworkExtra(UnsafeRawBufferPointer(slot))
        packet.add(extra)
        hasExtras = extra.hasNext
      } else {
        packet.add(TransmitRequest(UnsafeRawBufferPointer(slot)))
      }
    }
    return packet
  }

  /// Answers each slot of a frame.
  private func answer(_ packet: TransmitPacket, _ status: NetworkStatus) {
    for part in packet.parts { put(TransmitResponse(identifier: part.identifier, status: status)) }
    for _ in 0..<packet.extraCount { put(TransmitResponse(identifier: 0, status: .null)) }
  }

  private func put(_ response: TransmitResponse) {
    response.store(in: slot)
    ring.putResponse(UnsafeRawBufferPointer(slot))
  }

  private func perform(_ packet: TransmitPacket) -> NetworkStatus {
    guard largeSegments || !packet.isSegmentation, let pieces = packet.pieces(), let frame = gather(pieces)
    else { return .error }
    if packet.isChecksumBlank, !InternetChecksum.complete(in: frame) { return .dropped }
    send(UnsafeRawBufferPointer(frame))
    return .okay
  }

  /// Copies a frame's bytes out of the guest, once.
  /// - Returns: nil if one of the grants cannot be read.
  private func gather(_ pieces: [TransmitPacket.Piece]) -> UnsafeMutableRawBufferPointer? {
    guard case .success(let pages) = grants.map(pieces.map(\.reference), readOnly: true) else { return nil }
    defer { grants.unmap(pages) }
    var size = 0
    for (page, piece) in zip(pages, pieces) {
      let source = UnsafeRawBufferPointer(start: page.bytes + piece.offset, count: piece.count)
      UnsafeMutableRawBufferPointer(rebasing: frame[size...]).copyMemory(from: source)
      size += piece.count
    }
    return UnsafeMutableRawBufferPointer(rebasing: frame[..<size])
  }
}
