// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// Carries out the requests of one block ring. Belongs to one thread.
final class BlockServer {
  private let ring: any BackRing
  private let image: any BlockStorage
  private let grants: any GrantAccess
  /// Requests that are served before others have their turn: as many as a ring holds.
  private static let batch = BlockRing.slotCount
  /// The request under way, and then its response.
  private let slot = UnsafeMutableRawBufferPointer.allocate(byteCount: BlockRing.slotSize, alignment: 8)

  init(ring: any BackRing, image: any BlockStorage, grants: any GrantAccess) {
    self.ring = ring
    self.image = image
    self.grants = grants
    slot.initializeMemory(as: UInt8.self, repeating: 0)
  }

  deinit { slot.deallocate() }

  /// Serves the requests there are, or as many as others can wait for: a guest that puts one for each that is answered
  /// does not keep its device from following it, or from being taken away.
  /// - Parameter notify: called when the guest asked for an event.
  /// - Returns: whether there may be more. If not, the next one raises an event.
  func work(notify: () -> Void) throws(RingError) -> Bool {
    var count = 0
    repeat {
      while try ring.takeRequest(into: slot) {
        let head = BlockRequest.Head(UnsafeRawBufferPointer(slot))
        BlockResponse(head: head, status: perform()).store(in: slot)
        ring.putResponse(UnsafeRawBufferPointer(slot))
        // Requests take long compared with an event, so each answer is shown at once.
        if ring.pushResponses() { notify() }
        count += 1
        if count == Self.batch { return true }
      }
    } while try ring.finalCheckForRequests()
    return false
  }

  /// Carries out the request in `slot`.
  private func perform() -> BlockStatus {
    do throws(BlockRequest.Refusal) {
      return perform(try BlockRequest(UnsafeRawBufferPointer(slot), copyWords: copyWords))
    } catch {
      return error.status
    }
  }

  /// Reads each word once: what the guest makes of the page afterwards changes no request.
  private func copyWords(_ page: GrantReference, _ count: Int) -> [UInt64]? {
    guard case .success(let pages) = grants.map([page], readOnly: true) else { return nil }
    defer { grants.unmap(pages) }
    let bytes = UnsafeRawBufferPointer(start: pages.first?.bytes, count: 8 * count)
    return (0..<count).map { bytes.load(fromByteOffset: 8 * $0, as: UInt64.self) }
  }

  func perform(_ request: BlockRequest) -> BlockStatus {
    if request.operation != .read && image.isReadOnly { return .error }
    switch request.operation {
    case .read, .write: return transfer(request)
    case .discard: return discard(request)
    case .flush: return image.flush() ? .okay : .error
    case .writeBarrier:
      guard image.flush() else { return .error }
      let status = request.segments.isEmpty ? .okay : transfer(request)
      return status == .okay && image.flush() ? .okay : .error
    }
  }

  private func discard(_ request: BlockRequest) -> BlockStatus {
    guard image.canDiscard else { return .notSupported }
    guard image.contains(sector: request.sector, count: request.discardedSectors) else { return .error }
    return image.discard(sector: request.sector, count: request.discardedSectors) ? .okay : .error
  }

  private func transfer(_ request: BlockRequest) -> BlockStatus {
    guard image.contains(sector: request.sector, byteCount: request.byteCount) else { return .error }
    let isRead = request.operation == .read
    // Reading the disk writes the guest's memory.
    guard case .success(let pages) = grants.map(request.segments.map(\.reference), readOnly: !isRead) else {
      return .error
    }
    defer { grants.unmap(pages) }
    let buffers = zip(pages, request.segments).map { page, segment in
      UnsafeMutableRawBufferPointer(start: page.bytes + segment.byteOffset, count: segment.byteCount)
    }
    let moved =
      isRead
      ? image.read(sector: request.sector, into: buffers) : image.write(sector: request.sector, from: buffers)
    return moved ? .okay : .error
  }
}
