// SPDX-License-Identifier: Apache-2.0

import Interfaces

@testable import Devices

/// Stands between a block back end and its guest's grants and ring, sees what it takes, maps, lets go of and answers, and
/// says what is not as it must be. The back end is expected to carry out one request after the other, and to map the
/// pages of its data together.
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
  private(set) var takenInTurn = 0

  private let grants: any GrantAccess
  private var request: ExpectedBlockRequest?
  /// What became of mapping the request's pages.
  private var data: (pages: [MappedPage]?, isDone: Bool)?
  /// Everything mapped, by reference.
  private var mapped: [(reference: GrantReference, page: MappedPage)] = []

  init(_ contents: BlockContents, _ disk: ExpectedBlockRequest.Disk, _ grants: any GrantAccess) {
    self.contents = contents
    self.disk = disk
    self.grants = grants
  }

  func complain(_ text: String) { complaint = complaint ?? text }

  func beginTurn() { takenInTurn = 0 }

  func frame(of page: UnsafeMutableRawPointer) -> Int {
    guard let base = contents.guest.page(0).baseAddress else { return 0 }
    let (frame, offset) = (page - base).quotientAndRemainder(dividingBy: frameSize)
    precondition(offset == 0 && (0..<FakeGuest.frameCount).contains(frame), "no page of the guest's")
    return frame
  }

  // MARK: grants

  func map(_ references: [GrantReference], readOnly: Bool) -> Result<[MappedPage], GrantRefusal> {
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
    guard let request else { return }
    if let page = request.indirectPage, request.segments == nil {
      if references.map(\.rawValue) != [page] || !readOnly {
        complain("a request maps what it does not name")
      }
      return
    }
    if data != nil { complain("a request maps its pages twice") }
    if references.map(\.rawValue) != request.segments?.map(\.reference) || !request.movesData {
      complain("a request maps what it does not name")
    }
    if request.operation == 0 && readOnly { complain("pages that are read into are mapped for reading only") }
    data = (pages, false)
  }

  func unmap(_ pages: [MappedPage]) {
    // The guest has not had its turn since the back end touched them.
    if let request, let all = data?.pages, pages.map(\.handle) == all.map(\.handle) {
      carryOut(request, all)
    } else if let page = request?.indirectPage, pages.count == 1, request?.segments == nil,
      mapped.contains(where: { $0.reference.rawValue == page && $0.page.handle == pages[0].handle })
    {
      request?.readSegments(UnsafeRawBufferPointer(contents.guest.page(frame(of: pages[0].bytes))))
    }
    check()
    meddle()
    grants.unmap(pages)
    mapped.removeAll { entry in pages.contains { $0.handle == entry.page.handle } }
    meddle()
  }

  // MARK: requests

  func take(_ slot: UnsafeRawBufferPointer) {
    if request != nil { complain("a request is taken before the last one is answered") }
    request = ExpectedBlockRequest(slot)
    data = nil
    takenInTurn += 1
    if takenInTurn > BlockRing.slotCount { complain("one guest keeps its back end busy for ever") }
  }

  /// What a request must have done by the time that its pages are let go of, if it was carried out at all.
  private func carryOut(_ request: ExpectedBlockRequest, _ pages: [MappedPage]) {
    guard request.fate(on: disk) != .fails, let segments = request.segments else { return }
    let pieces = zip(pages, segments).map { (frame: frame(of: $0.bytes), bytes: $1.bytes) }
    if request.operation == 0 {
      contents.read(from: request.sector, into: pieces)
    } else {
      contents.write(to: request.sector, from: pieces)
    }
    data?.isDone = true
  }

  /// - Returns: whether there was a request to answer.
  func answer(_ slot: UnsafeRawBufferPointer) -> Bool {
    guard let request else {
      complain("there is an answer without a request")
      return false
    }
    self.request = nil
    let status = slot.loadUnaligned(fromByteOffset: 10, as: Int16.self)
    answered("\(request.operation)\(request.indirectPage == nil ? "" : ", indirect"): \(status)")
    if slot.load(as: UInt64.self) != request.identifier || slot[8] != request.operation {
      complain("an answer is not the one that is due")
    }
    if !(-2...0).contains(status) { complain("there is no status \(status)") }
    let isMapped = !request.movesData || (request.segments ?? []).isEmpty || data?.isDone == true
    switch request.fate(on: disk) {
    case .succeeds where status != 0 && isMapped:
      complain("a sound request \(request) is answered by \(status)")
    case .succeeds where status != 0 && data == nil: complain("the pages of \(request) were not mapped")
    case .succeeds where status == 0 && !isMapped: complain("\(request) is said to be done, and is not")
    case .fails where status == 0: complain("\(request) is said to be done, which cannot be")
    default: break
    }
    if status == 0, request.operation == 5, request.fate(on: disk) == .succeeds {
      contents.discard(from: request.sector, count: request.discarded)
    }
    check()
    if mapped.count > 1 { complain("pages are still mapped when their request is answered") }
    return true
  }

  private func check() {
    if let difference = contents.difference() { complain(difference) }
  }

  /// A connection is over, perhaps in the midst of a request.
  func forget() {
    request = nil
    data = nil
  }
}
