// SPDX-License-Identifier: Apache-2.0

import Corpora
import FakeGuests
import Interfaces
import Synchronization
import Testing

@testable import Devices

/// Every seed and every regression of the block fuzz target, replayed.
@Suite("The block corpus and regressions")
struct BlockCorpusTests {
  private static func complaint(
    _ bytes: [UInt8], _ surroundings: BlockScript.Surroundings = BlockScript.Surroundings()
  ) throws -> String? {
    try bytes.withUnsafeBufferPointer { try BlockScript.run($0, surroundings) }
  }

  @Test("hold what must hold")
  func replays() throws {
    for (name, bytes) in try Corpus.seeds(of: "Block") + Corpus.regressions(of: "Block") {
      #expect(try Self.complaint(bytes) == nil, "\(name)")
    }
  }

  @Test("reach each kind of request, done and refused")
  func reach() throws {
    let reached = Mutex<Set<String>>([])
    var surroundings = BlockScript.Surroundings()
    surroundings.answered = { answer in reached.withLock { _ = $0.insert(answer) } }
    for (_, bytes) in try Corpus.seeds(of: "Block") { _ = try Self.complaint(bytes, surroundings) }
    let wanted: Set = [
      "0: 0", "1: 0", "2: 0", "3: 0", "5: 0", "0, indirect: 0", "1, indirect: 0", "0: -1", "1: -1", "2: -1",
      "3: -1", "5: -1", "0, indirect: -1", "1, indirect: -1", "5: -2", "7: -2",
    ]
    #expect(wanted.subtracting(reached.withLock { $0 }) == [])
  }

  @Test(
    "find a back end that does not let go of pages, ones that reach what they may not, one that does nothing, and one that looks twice",
    arguments: [
      (WeakGrants.Weakness.clings, "still mapped"), (.careless, "mapped for reading only"),
      (.astray, "holds what it should not"), (.idle, "holds what it should not"),
      (.looksTwice, "maps what it does not name"),
    ])
  func weakGrants(weakness: WeakGrants.Weakness, message: String) throws {
    var surroundings = BlockScript.Surroundings()
    surroundings.grants = { WeakGrants(inner: $0, weakness: weakness) }
    let found = try Corpus.seeds(of: "Block").compactMap { try Self.complaint($0.bytes, surroundings) }
    #expect(found.contains { $0.contains(message) }, "\(found)")
  }

  @Test(
    "find a disk that is still at pages of which it was said to be done, and one that does not what it is asked",
    arguments: [
      (WeakQueue.Weakness.isEarly, "pages are let go of while the disk is at them"),
      (.forgetsFlushes, "is said to be done, and is not"), (.losesWrites, "is said to be done, and is not"),
      (.mistakes, "the disk is asked for what no request names"),
    ])
  private func weakQueues(weakness: WeakQueue.Weakness, message: String) throws {
    var surroundings = BlockScript.Surroundings()
    surroundings.queue = { WeakQueue($0, weakness) }
    let found = try Corpus.seeds(of: "Block").compactMap { try Self.complaint($0.bytes, surroundings) }
    #expect(found.contains { $0.contains(message) }, "\(found)")
  }

  @Test("find a back end that reads a slot of the ring twice, and one that answers twice")
  func weakRings() throws {
    var surroundings = BlockScript.Surroundings()
    func found() throws -> [String] {
      try Corpus.seeds(of: "Block").compactMap { try Self.complaint($0.bytes, surroundings) }
    }
    surroundings.ring = { WeakRing(inner: $0, page: $1, looksTwice: true) }
    #expect(try found().contains { $0 == "an answer is not the one that is due" })
    surroundings.ring = { WeakRing(inner: $0, page: $1, looksTwice: false) }
    #expect(try found().contains { $0 == "there is an answer without a request" })
  }
}

/// A disk of which is said what is not so.
private final class WeakQueue: BlockQueue, @unchecked Sendable {
  enum Weakness: Sendable {
    /// Says that an operation is done as soon as it was asked for, and does it afterwards.
    case isEarly
    /// Says that it has flushed, and has not.
    case forgetsFlushes
    /// Says that it has written what it has not.
    case losesWrites
    /// Reads where it was to write.
    case mistakes
  }

  private let inner: any BlockQueue
  private let weakness: Weakness
  private var said: [Int] = []

  init(_ inner: any BlockQueue, _ weakness: Weakness) {
    self.inner = inner
    self.weakness = weakness
  }

  var storage: any BlockStorage { inner.storage }
  var descriptor: Int32 { inner.descriptor }
  var ring: Int32? { inner.ring }

  func submit(_ operation: DiskOperation, tag: Int) {
    switch (weakness, operation) {
    case (.isEarly, _): said.append(tag)
    case (.forgetsFlushes, .flush), (.losesWrites, .write): return said.append(tag)
    case (.mistakes, .write(let sector, let buffers)):
      return inner.submit(.read(sector: sector, into: buffers), tag: tag)
    default: break
    }
    inner.submit(operation, tag: tag)
  }

  func start() { inner.start() }

  func takeDone() -> (tag: Int, isDone: Bool)? {
    if let tag = said.popLast() { return (tag, true) }
    if weakness != .isEarly { return inner.takeDone() }
    while inner.takeDone() != nil {}
    return nil
  }

  func wait() { inner.wait() }
}

/// Grants, used as no back end may use them.
struct WeakGrants: GrantAccess {
  enum Weakness: Sendable {
    /// Never unmaps.
    case clings
    /// Maps all for reading, which its user does not keep to.
    case careless
    /// Reaches the page behind the one that was granted.
    case astray
    /// Moves data to and from nowhere.
    case idle
    /// Maps a single page once more, to look again.
    case looksTwice
  }

  let inner: any GrantAccess
  let weakness: Weakness
  private let nowhere = Nowhere()

  init(inner: any GrantAccess, weakness: Weakness) {
    self.inner = inner
    self.weakness = weakness
  }

  func map(_ references: [GrantReference], readOnly: Bool) -> Result<[MappedPage], GrantRefusal> {
    if weakness == .looksTwice, readOnly, references.count == 1 {
      if case .success(let pages) = inner.map(references, readOnly: true) { inner.unmap(pages) }
    }
    return inner.map(references, readOnly: readOnly || weakness == .careless).map { pages in
      pages.map { page in
        switch weakness {
        case .astray: MappedPage(bytes: page.bytes + frameSize, handle: page.handle)
        // The ring stays where it is.
        case .idle where references.count > 1: MappedPage(bytes: nowhere.page, handle: page.handle)
        default: page
        }
      }
    }
  }

  func unmap(_ pages: [MappedPage]) {
    if weakness != .clings { inner.unmap(pages) }
  }

  private final class Nowhere: @unchecked Sendable {
    let page = UnsafeMutableRawPointer.allocate(byteCount: frameSize, alignment: frameSize)
    init() { page.initializeMemory(as: UInt8.self, repeating: 0, count: frameSize) }
    deinit { page.deallocate() }
  }
}

/// A ring, used as no back end may use it: it looks at a slot once more, or answers twice.
private final class WeakRing: BackRing {
  let inner: any BackRing
  let page: UnsafeMutableRawPointer
  let looksTwice: Bool
  private var taken = 0

  init(inner: any BackRing, page: UnsafeMutableRawPointer, looksTwice: Bool) {
    self.inner = inner
    self.page = page
    self.looksTwice = looksTwice
  }

  var slotCount: Int { inner.slotCount }
  var slotSize: Int { inner.slotSize }

  func takeRequest(into slot: UnsafeMutableRawBufferPointer) throws(RingError) -> Bool {
    guard try inner.takeRequest(into: slot) else { return false }
    let place = page + RingWord.slotsOffset + taken % slotCount * slotSize
    if looksTwice { slot.copyMemory(from: UnsafeRawBufferPointer(start: place, count: slotSize)) }
    taken += 1
    return true
  }

  func putResponse(_ slot: UnsafeRawBufferPointer) {
    inner.putResponse(slot)
    if !looksTwice { inner.putResponse(slot) }
  }

  func pushResponses() -> Bool { inner.pushResponses() }
  func finalCheckForRequests() throws(RingError) -> Bool { try inner.finalCheckForRequests() }
}
