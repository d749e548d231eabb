// SPDX-License-Identifier: Apache-2.0

import Interfaces

@testable import Devices

/// Stands between a block back end, its guest's grants and ring, and its disk, sees what it takes, maps, asks of the disk,
/// lets go of and answers, and says what is not as it must be. The back end is expected to begin requests in the order of
/// the ring, and to map the pages of a request's data together.
final class BlockWitness: GrantAccess, @unchecked Sendable {
  let contents: BlockContents
  let disk: ExpectedBlockRequest.Disk
  /// What the guest does meanwhile: called wherever the back end can be interrupted.
  var meddle: () -> Void = {}
  /// Told of each answer.
  var answered: (String) -> Void = { _ in }
  /// The ring of the last connection.
  var ring: WitnessedRing?
  private(set) var complaint: String?
  /// Requests taken since the back end began to work.
  var takenInTurn = 0
  /// Whether the guest uses its pages over and over, so that so many may stay mapped.
  var persistentLimit: Int?
  /// The pages that stay mapped.
  var kept: (GrantReference) -> MappedPage? = { _ in nil }

  private let grants: any GrantAccess
  /// The request that was taken and has not begun: there is one at most.
  var waiting: Activity?
  /// Requests that the disk was asked for, by tag; of a barrier that goes on, by the tag that it had.
  var underWay: [Int: Activity] = [:]
  /// Everything mapped, by reference.
  private var mapped: [(reference: GrantReference, page: MappedPage)] = []

  struct Activity {
    var request: ExpectedBlockRequest
    /// What became of mapping the pages of its data.
    var isMapped = false
    var pages: [MappedPage]?
    var isLetGo = false
    /// Whether the disk is at it.
    var isBusy = false
    /// What the disk has done of it: a barrier is a flush, a transfer and a flush.
    var flushes = 0
    var isTransferred = false

    var isBarrier: Bool { request.operation == 2 }
    /// Whether all of it was done, or all that a barrier without data is.
    var isDone: Bool {
      switch request.operation {
      case 2: (request.segments ?? []).isEmpty ? flushes > 0 : isTransferred && flushes > 1
      case 3: flushes > 0
      default: isTransferred
      }
    }
  }

  init(_ contents: BlockContents, _ disk: ExpectedBlockRequest.Disk, _ grants: any GrantAccess) {
    self.contents = contents
    self.disk = disk
    self.grants = grants
  }

  func complain(_ text: String) { complaint = complaint ?? text }

  func beginTurn() { takenInTurn = 0 }

  /// Whether a request waits for others to end.
  var isHolding: Bool { waiting != nil && !underWay.isEmpty }

  /// What must hold when the back end has done what it could, while it is connected.
  /// - Parameter isIdle: whether the disk is at nothing, and has done nothing that the back end has not seen.
  func endTurn(isIdle: Bool) {
    let inUse = underWay.values.reduce(0) { $0 + ($1.isLetGo ? 0 : $1.pages?.count ?? 0) }
    // The ring is mapped too.
    if mapped.count > 1 + inUse + (persistentLimit ?? 0) {
      complain("pages are still mapped that no request needs")
    }
    if isIdle && (waiting != nil || !underWay.isEmpty) { complain("a request is forgotten") }
  }

  func frame(of page: UnsafeMutableRawPointer) -> Int {
    guard let base = contents.guest.page(0).baseAddress else { return 0 }
    let (frame, offset) = (page - base).quotientAndRemainder(dividingBy: frameSize)
    precondition(offset == 0 && (0..<FakeGuest.frameCount).contains(frame), "no page of the guest's")
    return frame
  }

  // MARK: grants

  func map(_ references: [GrantReference], readOnly: Bool) -> Result<[MappedPage], GrantRefusal> {
    readSegments()
    meddle()
    let isFirstUse = !references.contains { reference in mapped.contains { $0.reference == reference } }
    let isAllowed = references.allSatisfy { allows($0, readOnly: readOnly) != nil }
    let frames = references.map { allows($0, readOnly: readOnly) }
    let result = grants.map(references, readOnly: readOnly)
    switch result {
    case .success(let pages):
      if pages.count != references.count || isFirstUse && frames != pages.map({ frame(of: $0.bytes) }) {
        complain("pages are mapped that are not granted so")
      }
      mapped += zip(references, pages).map { ($0, $1) }
    case .failure:
      // A single entry has a limit of its own.
      if isFirstUse, isAllowed, references.count <= 64 { complain("grants that stand are not mapped") }
    }
    note(references, try? result.get(), readOnly: readOnly)
    meddle()
    return result
  }

  /// The frame that an entry of the guest's table grants; nil if it grants none so.
  private func allows(_ reference: GrantReference, readOnly: Bool) -> Int? {
    guard reference.rawValue < GrantEntry.perFrame else { return nil }
    let entry = contents.guest.page(0)[(Int(reference.rawValue) * GrantEntry.size)...]
    let table = UnsafeRawBufferPointer(rebasing: entry)
    let flags = GrantFlags(rawValue: table.load(as: UInt16.self))
    let frame = Int(table.load(fromByteOffset: 4, as: UInt32.self))
    guard flags.intersection(.typeMask) == .permitAccess, readOnly || !flags.contains(.readOnly),
      table.load(fromByteOffset: 2, as: UInt16.self) == DomainID.host.rawValue,
      frame < FakeGuest.frameCount, contents.guest.owner(of: MachineFrame(UInt64(frame))) == FakeGuest.domain
    else { return nil }
    return frame
  }

  private func note(_ references: [GrantReference], _ pages: [MappedPage]?, readOnly: Bool) {
    if let (tag, activity) = underWay.first(where: { $0.value.isBarrier && !$0.value.isBusy }) {
      underWay[tag] = noteData(activity, references, pages, readOnly: readOnly)
    } else if let activity = waiting {
      if let page = activity.request.indirectPage, activity.request.segments == nil {
        if references.map(\.rawValue) != [page] || !readOnly && persistentLimit == nil {
          complain("a request maps what it does not name")
        }
      } else {
        waiting = noteData(activity, references, pages, readOnly: readOnly)
      }
    }
    // Otherwise it is the ring of a new connection.
  }

  private func noteData(
    _ activity: Activity, _ references: [GrantReference], _ pages: [MappedPage]?, readOnly: Bool
  ) -> Activity {
    var activity = activity
    let request = activity.request
    let all = request.segments?.map(\.reference) ?? []
    // Of those that stay mapped, what is not mapped yet, for writing; or all of them, as for others.
    if persistentLimit != nil, !readOnly, references.allSatisfy({ all.contains($0.rawValue) }) {
      activity.isMapped = true
      if references.count == all.count { activity.pages = pages }
      return activity
    }
    if activity.isMapped && persistentLimit == nil { complain("a request maps its pages twice") }
    if references.map(\.rawValue) != all || !request.movesData {
      complain("a request maps what it does not name")
    }
    if request.operation == 0 && readOnly { complain("pages that are read into are mapped for reading only") }
    activity.isMapped = true
    activity.pages = pages
    return activity
  }

  func unmap(_ pages: [MappedPage]) {
    let handles = pages.map(\.handle)
    if let (tag, activity) = underWay.first(where: {
      !$0.value.isLetGo && $0.value.pages?.map(\.handle) == handles
    }) {
      if activity.isBusy { complain("pages are let go of while the disk is at them") }
      underWay[tag]?.isLetGo = true
    } else if underWay.values.contains(where: { activity in
      activity.isBusy && (activity.pages ?? []).contains { handles.contains($0.handle) }
    }) {
      complain("pages are let go of while the disk is at them")
    } else if let page = waiting?.request.indirectPage, waiting?.request.segments == nil,
      let entry = mapped.first(where: { $0.reference.rawValue == page && handles.contains($0.page.handle) })
    {
      // The guest has not had its turn since the back end read it.
      waiting?.request.readSegments(page: contents.guest.page(frame(of: entry.page.bytes)))
    }
    check()
    meddle()
    grants.unmap(pages)
    mapped.removeAll { entry in pages.contains { $0.handle == entry.page.handle } }
    meddle()
  }

  // MARK: the disk

  /// A page that stays mapped; nil if it does not.
  private func keptPage(_ reference: UInt32) -> MappedPage? {
    guard let handle = kept(GrantReference(reference))?.handle else { return nil }
    let entry = mapped.first { $0.reference.rawValue == reference && $0.page.handle == handle }
    if entry == nil { complain("a page is kept that is not mapped") }
    return entry?.page
  }

  /// Reads the segments of an indirect request whose page stays mapped: the guest has not had its turn since the back end
  /// read them.
  func readSegments() {
    guard let request = waiting?.request, let page = request.indirectPage, request.segments == nil,
      let entry = keptPage(page)
    else { return }
    waiting?.request.readSegments(page: contents.guest.page(frame(of: entry.bytes)))
  }

  /// The pages of a request's data, which stay mapped; nil if one does not.
  private func keptPages(_ request: ExpectedBlockRequest) -> [MappedPage]? {
    let pages = (request.segments ?? []).map { keptPage($0.reference) }
    return pages.contains { $0 == nil } ? nil : pages.compactMap { $0 }
  }

  /// The back end asks the disk for something.
  func begin(_ operation: DiskOperation, tag: Int) {
    readSegments()
    if underWay.values.contains(where: { $0.isBarrier && $0.isBusy }) {
      complain("a request begins before a barrier has ended")
    }
    // A barrier goes on, under whatever tag.
    if let (old, activity) = underWay.first(where: { $0.value.isBarrier }) {
      underWay[old] = nil
      if underWay[tag] != nil { complain("a tag has two requests") }
      underWay[tag] = activity
    } else if let activity = waiting {
      waiting = nil
      if underWay[tag] != nil { complain("a tag has two requests") }
      if activity.isBarrier && !underWay.isEmpty { complain("a barrier begins before others have ended") }
      underWay[tag] = activity
    } else {
      return complain("the disk is asked for what no request names")
    }
    underWay[tag]?.isBusy = true
    if persistentLimit != nil, let activity = underWay[tag], activity.request.movesData, activity.pages == nil
    {
      underWay[tag]?.pages = keptPages(activity.request)
      underWay[tag]?.isMapped = true
    }
    if let activity = underWay[tag], !suits(operation, activity) {
      complain("the disk is asked for what no request names")
    }
  }

  private func suits(_ operation: DiskOperation, _ activity: Activity) -> Bool {
    let request = activity.request
    return switch (operation, request.operation) {
    case (.read(let sector, _), 0), (.write(let sector, _), 1): sector == request.sector && activity.isMapped
    // Between two flushes.
    case (.write(let sector, _), 2):
      sector == request.sector && activity.flushes == 1 && !activity.isTransferred
    case (.flush, 2): activity.flushes == 0 || activity.isTransferred
    case (.flush, 3): true
    case (.discard(let sector, let count), 5): sector == request.sector && count == request.discarded
    default: false
    }
  }

  /// The disk has done what it was asked for, since the guest's last turn.
  func carriedOut(tag: Int, isDone: Bool) {
    guard var activity = underWay[tag] else { return complain("the disk was asked for nothing") }
    activity.isBusy = false
    let request = activity.request
    if !isDone && request.fate(on: disk) == .succeeds { complain("the disk cannot do \(request)") }
    if request.operation == 3 || request.operation == 2 && (activity.flushes == 0 || activity.isTransferred) {
      activity.flushes += 1
    } else if isDone, request.fate(on: disk) != .fails {
      if request.operation == 5 {
        contents.discard(from: request.sector, count: request.discarded)
      } else if let pages = activity.pages, let segments = request.segments {
        let pieces = zip(pages, segments).map { (frame: frame(of: $0.bytes), bytes: $1.bytes) }
        if request.operation == 0 {
          contents.read(from: request.sector, into: pieces)
        } else {
          contents.write(to: request.sector, from: pieces)
        }
      }
      activity.isTransferred = true
    }
    underWay[tag] = activity
    check()
  }

  func check() {
    if let difference = contents.difference() { complain(difference) }
  }

  /// A connection is over, perhaps in the midst of requests, which the disk is not at any more.
  func forget() {
    if underWay.values.contains(where: \.isBusy) {
      complain("a connection ends while the disk is at its pages")
    }
    waiting = nil
    underWay = [:]
  }
}
