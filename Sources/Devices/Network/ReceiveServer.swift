// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// Puts frames into the pages that a guest offers for them. Belongs to one thread.
final class ReceiveServer {
  private let ring: any BackRing
  private let grants: any GrantAccess
  /// The request under way, and then its response.
  private let slot = UnsafeMutableRawBufferPointer.allocate(
    byteCount: NetworkRing.receiveSlotSize, alignment: 8)
  /// Frames for which the guest has offered no page yet, from `first` on.
  private var frames: [[UInt8]] = []
  private var first = 0

  /// Frames that wait at most; more are lost, as on a wire.
  static let maximumWaiting = 512

  init(ring: any BackRing, grants: any GrantAccess) {
    self.ring = ring
    self.grants = grants
    slot.initializeMemory(as: UInt8.self, repeating: 0)
  }

  deinit { slot.deallocate() }

  var waitingCount: Int { frames.count - first }

  /// Takes a frame over; `work` puts it into the guest. One that no page can hold is lost.
  func add(_ frame: UnsafeRawBufferPointer) {
    guard waitingCount < Self.maximumWaiting, frame.count <= frameSize else { return }
    frames.append(Array(frame))
  }

  /// Puts in as many of the waiting frames as the guest has offered pages for. If some are left, the next page raises an
  /// event.
  /// - Parameter notify: called when the guest asked for an event.
  func work(notify: () -> Void) throws(RingError) {
    guard waitingCount > 0 else { return }
    repeat {
      while waitingCount > 0, try ring.takeRequest(into: slot) {
        let request = ReceiveRequest(UnsafeRawBufferPointer(slot))
        ReceiveResponse(identifier: request.identifier, outcome: fill(request, with: frames[first]))
          .store(in: slot)
        ring.putResponse(UnsafeRawBufferPointer(slot))
        first += 1
      }
      if ring.pushResponses() { notify() }
      // What is done with is thrown away from time to time, not frame by frame.
      if first == frames.count || first > Self.maximumWaiting {
        frames.removeFirst(first)
        first = 0
      }
      guard waitingCount > 0 else { return }
    } while try ring.finalCheckForRequests()
  }

  /// A frame is lost whose page cannot be written.
  private func fill(_ request: ReceiveRequest, with frame: [UInt8]) -> Result<Int, ReceiveResponse.Failure> {
    guard case .success(let pages) = grants.map([request.reference], readOnly: false) else {
      return .failure(.init(status: .error))
    }
    defer { grants.unmap(pages) }
    frame.withUnsafeBytes { bytes in
      UnsafeMutableRawBufferPointer(start: pages[0].bytes, count: frameSize).copyMemory(from: bytes)
    }
    return .success(frame.count)
  }
}
