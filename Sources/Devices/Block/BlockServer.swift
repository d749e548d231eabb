// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// Has the requests of one block ring carried out, several at a time. Belongs to one thread.
///
/// 1. Requests begin in the order of the ring and end in any: a guest that wants one after another waits for the first.
/// 2. A flush makes durable what was answered before it was taken. A barrier begins when all before it have ended, and
///    all after it begin when it has ended.
/// 3. The pages of a request stay mapped until the disk is done with it, whatever becomes of its guest.
/// 4. No more than `maximumPages` are mapped for requests that are under way, but for a single one.
final class BlockServer {
  private let ring: any BackRing
  private let queue: any BlockQueue
  private let grants: any GrantAccess
  /// Requests that are taken before others have their turn: as many as a ring holds.
  private static let batch = BlockRing.slotCount
  /// As in Linux's back end: a ring full of requests of 32 segments, and the pages that name them.
  static let maximumPages = 1056
  /// A request that is taken, and then its response.
  private let slot = UnsafeMutableRawBufferPointer.allocate(byteCount: BlockRing.slotSize, alignment: 8)

  /// Requests under way, by their tags in the queue.
  private var underWay = [Activity?](repeating: nil, count: BlockQueues.depth)
  private var freeTags = Array((0..<BlockQueues.depth).reversed())
  private var mappedPages = 0
  /// Whether there are answers that the guest is not shown yet.
  private var hasAnswers = false
  /// Whether a barrier is under way, and nothing else.
  private var isBarrier = false
  /// One that was taken and cannot begin before others have ended.
  private var held: (head: BlockRequest.Head, request: BlockRequest)?

  private struct Activity {
    var head: BlockRequest.Head
    var request: BlockRequest
    var pages: [MappedPage] = []
    /// Of a barrier, what the disk is at.
    var step = BarrierStep.none
  }

  private enum BarrierStep { case none, flushBefore, write, flushAfter }

  init(ring: any BackRing, queue: any BlockQueue, grants: any GrantAccess) {
    self.ring = ring
    self.queue = queue
    self.grants = grants
    slot.initializeMemory(as: UInt8.self, repeating: 0)
  }

  deinit { slot.deallocate() }

  private var image: any BlockStorage { queue.storage }
  private var isIdle: Bool { freeTags.count == BlockQueues.depth }

  /// Answers requests that are done and begins those there are, or as many as others can wait for: a guest that puts one
  /// for each that is answered does not keep its device from following it, or from being taken away.
  /// - Parameter notify: called when the guest asked for an event.
  /// - Returns: whether there may be more. If not, the next one raises an event, unless it has to wait for those under way:
  ///   when one is done, the queue's descriptor tells.
  func work(notify: () -> Void) throws(RingError) -> Bool {
    var count = 0
    while true {
      count += try beginRequests(atMost: Self.batch - count)
      queue.start()
      answerDone(notify)
      if count == Self.batch { return true }
      if let held {
        guard mayBegin(held.request) else { return false }
      } else {
        guard try ring.finalCheckForRequests() else { return false }
      }
    }
  }

  /// Waits for what is under way and lets go of its pages. Nothing is answered: the ring is given up.
  func drain() {
    held = nil
    while !isIdle {
      while let (tag, _) = queue.takeDone() { end(tag) }
      if !isIdle { queue.wait() }
    }
  }

  // MARK: the ring

  /// - Returns: how many were taken.
  private func beginRequests(atMost limit: Int) throws(RingError) -> Int {
    if let (head, request) = held {
      guard mayBegin(request) else { return 0 }
      held = nil
      begin(head, request)
    }
    var count = 0
    while count < limit, held == nil, try ring.takeRequest(into: slot) {
      count += 1
      let head = BlockRequest.Head(UnsafeRawBufferPointer(slot))
      do throws(BlockRequest.Refusal) {
        let request = try BlockRequest(UnsafeRawBufferPointer(slot), copyWords: copyWords)
        if mayBegin(request) { begin(head, request) } else { held = (head, request) }
      } catch {
        answer(head, error.status)
      }
    }
    return count
  }

  private func mayBegin(_ request: BlockRequest) -> Bool {
    if isIdle { return true }
    return !isBarrier && request.operation != .writeBarrier
      && mappedPages + request.segments.count <= Self.maximumPages
  }

  private func answerDone(_ notify: () -> Void) {
    while let (tag, isDone) = queue.takeDone() { goOn(tag, isDone: isDone) }
    guard hasAnswers else { return }
    hasAnswers = false
    if ring.pushResponses() { notify() }
  }

  private func answer(_ head: BlockRequest.Head, _ status: BlockStatus) {
    BlockResponse(head: head, status: status).store(in: slot)
    ring.putResponse(UnsafeRawBufferPointer(slot))
    hasAnswers = true
  }

  /// Reads each word once: what the guest makes of the page afterwards changes no request.
  private func copyWords(_ page: GrantReference, _ count: Int) -> [UInt64]? {
    guard case .success(let pages) = grants.map([page], readOnly: true) else { return nil }
    defer { grants.unmap(pages) }
    let bytes = UnsafeRawBufferPointer(start: pages.first?.bytes, count: 8 * count)
    return (0..<count).map { bytes.load(fromByteOffset: 8 * $0, as: UInt64.self) }
  }

  // MARK: a request's way

  /// Has a request begun, or answers it if it cannot be carried out.
  private func begin(_ head: BlockRequest.Head, _ request: BlockRequest) {
    if let status = refusal(of: request) { return answer(head, status) }
    var activity = Activity(head: head, request: request)
    switch request.operation {
    case .read, .write:
      guard let pages = mapPages(of: request) else { return answer(head, .error) }
      activity.pages = pages
      submit(activity, transfer(request, pages))
    case .discard: submit(activity, .discard(sector: request.sector, count: request.discardedSectors))
    case .flush: submit(activity, .flush)
    case .writeBarrier:
      activity.step = .flushBefore
      isBarrier = true
      submit(activity, .flush)
    }
  }

  /// What to answer a request that does not suit the disk; nil for one that does.
  private func refusal(of request: BlockRequest) -> BlockStatus? {
    if request.operation != .read && image.isReadOnly { return .error }
    if request.operation == .discard {
      guard image.canDiscard else { return .notSupported }
      return image.contains(sector: request.sector, count: request.discardedSectors) ? nil : .error
    }
    // A flush, and a barrier without data, may name any sector.
    guard request.operation != .flush, !request.segments.isEmpty else { return nil }
    return image.contains(sector: request.sector, byteCount: request.byteCount) ? nil : .error
  }

  private func mapPages(of request: BlockRequest) -> [MappedPage]? {
    // Reading the disk writes the guest's memory.
    let references = request.segments.map(\.reference)
    guard case .success(let pages) = grants.map(references, readOnly: request.operation != .read) else {
      return nil
    }
    mappedPages += pages.count
    return pages
  }

  private func transfer(_ request: BlockRequest, _ pages: [MappedPage]) -> DiskOperation {
    let buffers = zip(pages, request.segments).map { page, segment in
      UnsafeMutableRawBufferPointer(start: page.bytes + segment.byteOffset, count: segment.byteCount)
    }
    return request.operation == .read
      ? .read(sector: request.sector, into: buffers) : .write(sector: request.sector, from: buffers)
  }

  /// - Precondition: fewer requests than the ring has slots are under way, which the ring sees to.
  private func submit(_ activity: Activity, _ operation: DiskOperation) {
    let tag = freeTags.removeLast()
    underWay[tag] = activity
    queue.submit(operation, tag: tag)
  }

  /// What the disk was asked for is done, or could not be.
  private func goOn(_ tag: Int, isDone: Bool) {
    guard var activity = end(tag) else { return }
    let request = activity.request
    let next: (BarrierStep, DiskOperation)?
    switch activity.step {
    case .flushBefore where isDone && !request.segments.isEmpty:
      activity.pages = mapPages(of: request) ?? []
      next = activity.pages.isEmpty ? nil : (.write, transfer(request, activity.pages))
      if next == nil { return finish(activity, .error) }
    case .write where isDone: next = (.flushAfter, .flush)
    default: next = nil
    }
    guard let (step, operation) = next else { return finish(activity, isDone ? .okay : .error) }
    activity.step = step
    submit(activity, operation)
    queue.start()
  }

  private func finish(_ activity: Activity, _ status: BlockStatus) {
    if activity.step != .none { isBarrier = false }
    answer(activity.head, status)
  }

  /// The disk is done with a request's pages.
  /// - Returns: the request, whose tag is free.
  @discardableResult
  private func end(_ tag: Int) -> Activity? {
    guard var activity = underWay[tag] else { return nil }
    underWay[tag] = nil
    freeTags.append(tag)
    guard !activity.pages.isEmpty else { return activity }
    grants.unmap(activity.pages)
    mappedPages -= activity.pages.count
    activity.pages = []
    return activity
  }
}
