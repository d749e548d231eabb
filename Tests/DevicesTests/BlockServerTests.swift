// SPDX-License-Identifier: Apache-2.0

import FakeGuests
import Glibc
import Interfaces
import Machines
import Testing

@testable import Devices

/// A disk of 64 or more sectors, sector n full of the byte n, behind a server, with a front end.
struct BlockBench {
  let guest = FakeGuest()
  /// Of a disk that the bench has made.
  private let ownFile: TemporaryFile?
  let image: DiskImage
  let queue: any BlockQueue
  let server: BlockServer
  let frontEnd: FakeFrontEnd

  var file: TemporaryFile {
    guard let ownFile else { preconditionFailure("the disk is not the bench's own") }
    return ownFile
  }

  static let content = content(sectors: 64)
  private static func content(sectors: Int) -> [UInt8] {
    (0..<sectors).flatMap { Array(repeating: UInt8(truncatingIfNeeded: $0), count: 512) }
  }
  private static let ringFrame = 2

  /// - Parameters:
  ///   - engine: what carries requests out.
  ///   - grants: put around the guest's grants.
  init(
    _ engine: BlockEngine, readOnly: Bool = false, sectors: Int = 64, discard: Bool = true,
    _ grants: (FakeGuest, any GrantAccess) -> any GrantAccess = { $1 }
  ) throws {
    let file = TemporaryFile(Self.content(sectors: sectors))
    try self.init(
      engine, DiskImage(path: file.path, readOnly: readOnly, discard: discard), file: file, grants)
  }

  /// - Parameter image: the disk.
  init(
    _ engine: BlockEngine, _ image: DiskImage, file: TemporaryFile? = nil,
    _ grants: (FakeGuest, any GrantAccess) -> any GrantAccess = { $1 }
  ) throws {
    ownFile = file
    self.image = image
    frontEnd = FakeFrontEnd(guest, ringFrame: Self.ringFrame)
    let ring = OptimisedMachinery().makeBackRing(
      page: guest.page(Self.ringFrame).baseAddress!, slotCount: BlockRing.slotCount,
      slotSize: BlockRing.slotSize)
    queue = try engine.open(image)
    server = BlockServer(
      ring: ring, queue: queue, grants: grants(guest, HostGrants(guest, of: FakeGuest.domain)))
  }

  /// Puts one request on the ring and has it served; returns its status.
  func status(
    _ operation: UInt8, sector: UInt64 = 0, _ segments: [(UInt32, UInt8, UInt8)] = [], count: UInt8? = nil
  ) throws -> Int16 {
    try status(of: FakeFrontEnd.slot(operation: operation, sector: sector, segments: segments, count: count))
  }

  /// Has requests served until so many are answered.
  func responses(to count: Int, notify: () -> Void = {}) throws -> [FakeFrontEnd.Response] {
    var responses: [FakeFrontEnd.Response] = []
    while true {
      while try server.work(notify: notify) {}
      while let response = try frontEnd.take() { responses.append(response) }
      if responses.count >= count { return responses }
      queue.wait()
    }
  }

  /// Puts a request of any form on the ring and has it served; returns its status.
  func status(of slot: [UInt8]) throws -> Int16 {
    let identifier = frontEnd.put(slot: slot)
    // Of an indirect request, what it asks for.
    let operation = slot[0] == 6 ? slot[1] : slot[0]
    var events = 0
    let response = try #require(try responses(to: 1) { events += 1 }.first)
    #expect(response.identifier == identifier && response.operation == operation && events == 1)
    #expect(guest.mappedFrames == [])
    // Asks for an event at the next response, as a guest does.
    #expect(try !frontEnd.ring.finalCheckForResponses())
    return response.status
  }
}

/// What carries out the requests of a disk.
enum BlockEngine: CaseIterable, Sendable {
  case ring, threads

  /// Those that this computer has.
  static let available = allCases.filter { engine in
    let file = TemporaryFile(Array(repeating: 0, count: 512))
    return (try? engine.open(DiskImage(path: file.path, readOnly: true))) != nil
  }

  func open(_ image: DiskImage) throws -> any BlockQueue {
    switch self {
    case .ring:
      guard let queue = IOUringQueue(image) else { throw DiskImageError(description: "no io_uring") }
      return queue
    case .threads: return ThreadedQueue(image, threadCount: 3)
    }
  }
}

@Suite("A block server")
struct BlockServerTests {
  @Test(
    "reads sectors into the parts of pages that a request names, and nothing around them",
    arguments: BlockEngine.available)
  func reads(engine: BlockEngine) throws {
    let bench = try BlockBench(engine)
    for frame in [10, 11] { bench.guest.grant(frame) }
    #expect(try bench.status(0, sector: 7, [(10, 6, 7), (11, 0, 1)]) == 0)
    let first = bench.guest.page(10)
    #expect(first[6 * 512 - 1] == 0 && first[6 * 512] == 7 && first[7 * 512] == 8)
    let second = bench.guest.page(11)
    #expect(second[0] == 9 && second[1023] == 10 && second[1024] == 0)
  }

  @Test("reads eleven whole pages at once, the most that a request holds", arguments: BlockEngine.available)
  func manySegments(engine: BlockEngine) throws {
    let bench = try BlockBench(engine)
    let frames = (10..<18).map(UInt32.init)
    for frame in frames { bench.guest.grant(Int(frame)) }
    #expect(try bench.status(0, sector: 0, frames.map { ($0, 0, 7) }) == 0)
    #expect(bench.guest.page(17)[4095] == 63)
    let eleven = (0..<11).map { _ in (UInt32(10), UInt8(0), UInt8(0)) }
    #expect(try bench.status(0, sector: 53, eleven) == 0)
    #expect(bench.guest.page(10)[0] == 63)
    #expect(try bench.status(0, sector: 0, eleven, count: 12) == -1)
  }

  @Test(
    "writes what a guest granted for reading only, and makes it durable when asked",
    arguments: BlockEngine.available)
  func writes(engine: BlockEngine) throws {
    let bench = try BlockBench(engine)
    bench.guest.grant(10, readOnly: true)
    bench.guest.page(10).initializeMemory(as: UInt8.self, repeating: 0xee)
    #expect(try bench.status(1, sector: 3, [(10, 2, 3)]) == 0)
    #expect(try bench.status(3) == 0)
    #expect(try bench.status(2, sector: 60, [(10, 0, 0)]) == 0)
    #expect(try bench.status(2) == 0)
    var expected = BlockBench.content
    for sector in [3, 4, 60] {
      expected.replaceSubrange(sector * 512..<(sector + 1) * 512, with: repeatElement(0xee, count: 512))
    }
    #expect(bench.file.bytes == expected)
  }

  @Test("does not read into pages that may only be read", arguments: BlockEngine.available)
  func readOnlyGrant(engine: BlockEngine) throws {
    let bench = try BlockBench(engine)
    bench.guest.grant(10, readOnly: true)
    #expect(try bench.status(0, sector: 1, [(10, 0, 0)]) == -1)
    #expect(bench.guest.page(10)[0] == 0)
  }

  @Test(
    "refuses requests that leave the disk, a page or the ABI, and changes nothing",
    arguments: BlockEngine.available)
  func refusals(engine: BlockEngine) throws {
    let bench = try BlockBench(engine)
    bench.guest.grant(10)
    bench.guest.grant(11)
    let whole: [(UInt32, UInt8, UInt8)] = [(10, 0, 7)]
    #expect(try bench.status(1, sector: 57, whole) == -1)
    #expect(try bench.status(1, sector: 64, [(10, 0, 0)]) == -1)
    #expect(try bench.status(1, sector: .max, whole) == -1)
    #expect(try bench.status(1, sector: .max - 7, whole) == -1)
    #expect(try bench.status(1, sector: 1 << 55, whole) == -1)
    #expect(try bench.status(1, sector: 0, [(10, 0, 8)]) == -1)
    #expect(try bench.status(1, sector: 0, [(10, 5, 4)]) == -1)
    #expect(try bench.status(1, sector: 0, [(10, 0, 255)]) == -1)
    #expect(try bench.status(1, sector: 0, []) == -1)
    #expect(try bench.status(1, sector: 0, [(10, 0, 0), (99, 0, 0)]) == -1)
    #expect(try bench.status(1, sector: 0, [(.max, 0, 0)]) == -1)
    #expect(try bench.status(4, sector: 0, whole) == -2)
    #expect(try bench.status(7, sector: 0, whole) == -2)
    #expect(try bench.status(255, sector: 0, whole, count: 255) == -2)
    #expect(bench.file.bytes == BlockBench.content)
  }

  @Test("refuses to change a disk that may only be read", arguments: BlockEngine.available)
  func readOnlyDisk(engine: BlockEngine) throws {
    let bench = try BlockBench(engine, readOnly: true)
    bench.guest.grant(10)
    for operation in [1, 2, 3] as [UInt8] {
      #expect(try bench.status(operation, sector: 0, [(10, 0, 0)]) == -1)
    }
    #expect(try bench.status(of: FakeFrontEnd.discardSlot(sector: 0, count: 8)) == -1)
    #expect(try bench.status(0, sector: 5, [(10, 0, 0)]) == 0)
    #expect(bench.guest.page(10)[0] == 5 && bench.file.bytes == BlockBench.content)
  }

  @Test("serves a full ring, over and over", arguments: BlockEngine.available)
  func fullRing(engine: BlockEngine) throws {
    let bench = try BlockBench(engine)
    for frame in 10..<42 { bench.guest.grant(frame) }
    for round in 0..<5 {
      let identifiers = (0..<32).map { index in
        bench.frontEnd.put(
          operation: 0, sector: UInt64((round + index) % 64), segments: [(UInt32(10 + index), 0, 0)])
      }
      #expect(bench.frontEnd.ring.isFull)
      // Whether there are more it leaves to its next turn.
      #expect(try bench.server.work {})
      let responses = try bench.responses(to: 32)
      #expect(Set(responses.map(\.identifier)) == Set(identifiers) && responses.allSatisfy { $0.status == 0 })
      for index in 0..<32 { #expect(bench.guest.page(10 + index)[0] == UInt8((round + index) % 64)) }
      #expect(try bench.frontEnd.take() == nil)
    }
  }

  @Test("gives a ring up whose producer makes no sense", arguments: BlockEngine.available)
  func corrupt(engine: BlockEngine) throws {
    let bench = try BlockBench(engine)
    bench.guest.page(2).storeBytes(of: 33, toByteOffset: 0, as: UInt32.self)
    #expect(throws: RingError.producerOutOfRange(producer: 33, consumer: 0, size: 32)) {
      _ = try bench.server.work {}
    }
  }

  /// What one request in two of a random guest is: any form at all, of which half is made to be of some use.
  private func randomSlot(_ random: inout SystemRandom, _ guest: FakeGuest) -> [UInt8] {
    var slot = (0..<112).map { _ in UInt8(random.below(3) == 0 ? random.below(256) : random.below(2)) }
    if random.below(4) != 0 { slot[0] = [5, 6][random.below(2)] }
    guard random.below(2) == 0 else { return slot }
    slot.replaceSubrange(16..<32, with: repeatElement(0, count: 16))
    slot[16] = UInt8(random.below(70))
    guard slot[0] == 6 else {
      slot[24] = UInt8(random.below(20))
      return slot
    }
    slot[3] = UInt8(random.below(2))
    slot[28] = UInt8(10 + random.below(10))
    // One that may be written, so that its content is the guest's.
    let page = guest.page(10 + random.below(10) / 3 * 3)
    for word in 0..<256 {
      page[8 * word] = UInt8(random.below(22))
      page[8 * word + 4] = UInt8(random.below(5))
      page[8 * word + 5] = UInt8(4 + random.below(random.below(8) == 0 ? 5 : 4))
    }
    return slot
  }

  @Test(
    "answers random requests, each once, and holds nothing mapped", arguments: BlockEngine.available, [1, 2])
  func random(engine: BlockEngine, seed: UInt64) throws {
    var random = SystemRandom(state: seed)
    let bench = try BlockBench(engine)
    // A guest that reads its disk into its ring is left to itself.
    _ = bench.guest.table.endAccess(GrantReference(2))
    for frame in 10..<20 { bench.guest.grant(frame, readOnly: frame % 3 == 0) }
    // What may not be written, and what may not even be reached.
    let others = Set(0..<64).subtracting(10..<20).subtracting([0, 2]).union([12, 15, 18])
    for frame in others { bench.guest.page(frame).initializeMemory(as: UInt8.self, repeating: 0xa7) }
    var carriedOut: Set<UInt8> = []
    for _ in 0..<2000 {
      if random.below(2) == 0 {
        let slot = randomSlot(&random, bench.guest)
        if try bench.status(of: slot) == 0 { carriedOut.insert(slot[0]) }
        continue
      }
      let segments = (0..<random.below(12)).map { _ in
        (UInt32(random.below(22)), UInt8(random.below(10)), UInt8(random.below(10)))
      }
      let sector = random.below(4) == 0 ? random.next() : UInt64(random.below(70))
      _ = try bench.status(
        UInt8(random.below(8)), sector: sector, segments,
        count: random.below(8) == 0 ? UInt8(random.below(256)) : nil)
    }
    #expect(carriedOut.contains(6) && carriedOut.contains(5) == bench.image.canDiscard)
    #expect(bench.file.bytes.count == BlockBench.content.count)
    for frame in others { #expect(bench.guest.page(frame).allSatisfy { $0 == 0xa7 }, "frame \(frame)") }
  }
}

/// A small generator (xorshift64*): the same numbers for the same seed everywhere.
struct SystemRandom {
  var state: UInt64

  mutating func next() -> UInt64 {
    state ^= state >> 12
    state ^= state << 25
    state ^= state >> 27
    return state &* 0x2545_f491_4f6c_dd1d
  }

  mutating func below(_ limit: UInt64) -> Int { Int(next() >> 16 % limit) }
}

@Suite("A disk image")
struct DiskImageTests {
  private func message(_ body: () throws -> DiskImage) -> String {
    do {
      _ = try body()
      return "opened"
    } catch {
      return "\(error)"
    }
  }

  @Test("is for one writer, or for any number of readers")
  func locking() throws {
    let file = TemporaryFile(Array(repeating: 0, count: 1025))
    var first: DiskImage? = try DiskImage(path: file.path, readOnly: false)
    #expect(first?.sectorCount == 2)
    let inUse = "\(file.path): it is in use by another run; end that one, or give both access=ro"
    #expect(message { try DiskImage(path: file.path, readOnly: false) } == inUse)
    #expect(message { try DiskImage(path: file.path, readOnly: true) } == inUse)
    first = nil
    let reader = try DiskImage(path: file.path, readOnly: true)
    let another = try DiskImage(path: file.path, readOnly: true)
    #expect(message { try DiskImage(path: file.path, readOnly: false) } == inUse)
    withExtendedLifetime((reader, another)) {}
  }

  @Test("that cannot be used is refused, saying why and what to do")
  func refusals() {
    #expect(
      message { try DiskImage(path: "/nonexistent/image", readOnly: false) }
        == "/nonexistent/image: there is no such file; create it, or correct the path")
    #expect(
      message { try DiskImage(path: "/tmp", readOnly: false) }
        == "/tmp: it is a directory; give a raw disk image")
    #expect(
      message { try DiskImage(path: "/dev/null", readOnly: true) }
        == "/dev/null: it is neither a file nor a block device; give a raw disk image")
    let empty = TemporaryFile([1, 2, 3])
    #expect(
      message { try DiskImage(path: empty.path, readOnly: true) }
        == "\(empty.path): it has no whole sector of 512 bytes; give a raw disk image")
  }

  @Test("that is cut short meanwhile fails reads, and nothing else")
  func truncated() throws {
    let file = TemporaryFile(Array(repeating: 1, count: 4096))
    let image = try DiskImage(path: file.path, readOnly: false)
    #expect(truncate(file.path, 512) == 0)
    var bytes = [UInt8](repeating: 0, count: 1024)
    let isRead = bytes.withUnsafeMutableBytes { image.read(sector: 0, into: [$0]) }
    #expect(!isRead)
  }
}
