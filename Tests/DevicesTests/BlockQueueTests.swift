// SPDX-License-Identifier: Apache-2.0

import CURing
import FakeGuests
import Glibc
import Interfaces
import Machines
import Testing

@testable import Devices

/// A disk that is at what it was asked for until a test says that it is done.
private final class HoldingQueue: BlockQueue, @unchecked Sendable {
  let storage: any BlockStorage
  private(set) var waiting: [(operation: DiskOperation, tag: Int)] = []
  private var done: [(tag: Int, isDone: Bool)] = []

  init(_ storage: any BlockStorage) { self.storage = storage }

  var descriptor: Int32 { -1 }
  var ring: Int32? { nil }

  func submit(_ operation: DiskOperation, tag: Int) { waiting.append((operation, tag)) }
  func start() {}
  func takeDone() -> (tag: Int, isDone: Bool)? { done.isEmpty ? nil : done.removeFirst() }
  func wait() { finish(0) }

  func finish(_ index: Int, isDone: Bool? = nil) {
    let (operation, tag) = waiting.remove(at: index)
    done.append((tag, isDone ?? operation.carryOut(on: storage)))
  }

  /// What it is at, in the order in which it was asked.
  var names: [String] {
    waiting.map {
      switch $0.operation {
      case .read(let sector, _): "read \(sector)"
      case .write(let sector, _): "write \(sector)"
      case .flush: "flush"
      case .discard(let sector, _): "discard \(sector)"
      }
    }
  }
}

/// A server in front of a disk that waits.
private struct HoldingBench {
  let guest = FakeGuest()
  let file: TemporaryFile
  let queue: HoldingQueue
  let server: BlockServer
  let frontEnd: FakeFrontEnd

  init(sectors: Int = 64) throws {
    file = TemporaryFile(
      (0..<sectors).flatMap { Array(repeating: UInt8(truncatingIfNeeded: $0), count: 512) })
    queue = HoldingQueue(try DiskImage(path: file.path, readOnly: false))
    frontEnd = FakeFrontEnd(guest, ringFrame: 2)
    let ring = OptimisedMachinery().makeBackRing(
      page: guest.page(2).baseAddress!, slotCount: BlockRing.slotCount, slotSize: BlockRing.slotSize)
    server = BlockServer(ring: ring, queue: queue, grants: HostGrants(guest, of: FakeGuest.domain))
    for frame in 9..<42 { guest.grant(frame) }
  }

  func put(_ operation: UInt8, sector: UInt64 = 0, frame: UInt32? = nil) -> UInt64 {
    frontEnd.put(operation: operation, sector: sector, segments: frame.map { [($0, 0, 0)] } ?? [])
  }

  /// Lets the server work; what it answered, by identifier.
  func work() throws -> [UInt64: Int16] {
    #expect(try !server.work {})
    var statuses: [UInt64: Int16] = [:]
    while let response = try frontEnd.take() { statuses[response.identifier] = response.status }
    return statuses
  }
}

@Suite("A block server with several requests under way")
struct BlockQueueTests {
  @Test("begins what there is, answers in the order in which the disk is done, and keeps pages until then")
  func outOfOrder() throws {
    let bench = try HoldingBench()
    let requests = (0..<4).map { bench.put(0, sector: 3 + UInt64($0), frame: 10 + UInt32($0)) }
    #expect(try bench.work() == [:])
    #expect(bench.queue.names == ["read 3", "read 4", "read 5", "read 6"])
    #expect(bench.guest.mappedFrames == [10, 11, 12, 13])
    bench.queue.finish(2)
    #expect(bench.guest.page(12)[0] == 5 && bench.guest.page(10)[0] == 0)
    #expect(try bench.work() == [requests[2]: 0])
    #expect(bench.guest.mappedFrames == [10, 11, 13])
    // One more joins those under way; one that the disk fails is said to have failed.
    let more = bench.put(1, sector: 60, frame: 14)
    #expect(try bench.work() == [:] && bench.queue.names == ["read 3", "read 4", "read 6", "write 60"])
    bench.queue.finish(3)
    bench.queue.finish(0, isDone: false)
    #expect(try bench.work() == [more: 0, requests[0]: -1])
    #expect(bench.guest.mappedFrames == [11, 13])
  }

  @Test("begins a barrier when all before it have ended, and all after it when it has")
  func barrier() throws {
    let bench = try HoldingBench()
    let before = [bench.put(1, sector: 1, frame: 10), bench.put(1, sector: 2, frame: 11)]
    let barrier = bench.put(2, sector: 3, frame: 12)
    let after = bench.put(0, sector: 4, frame: 13)
    #expect(try bench.work() == [:] && bench.queue.names == ["write 1", "write 2"])
    bench.queue.finish(1)
    #expect(try bench.work() == [before[1]: 0] && bench.queue.names == ["write 1"])
    bench.queue.finish(0)
    #expect(try bench.work() == [before[0]: 0] && bench.queue.names == ["flush"])
    #expect(bench.guest.mappedFrames == [])
    bench.queue.finish(0)
    #expect(try bench.work() == [:] && bench.queue.names == ["write 3"] && bench.guest.mappedFrames == [12])
    bench.queue.finish(0)
    #expect(try bench.work() == [:] && bench.queue.names == ["flush"] && bench.guest.mappedFrames == [])
    bench.queue.finish(0)
    #expect(try bench.work() == [barrier: 0] && bench.queue.names == ["read 4"])
    bench.queue.finish(0)
    #expect(try bench.work() == [after: 0])
  }

  @Test("answers a barrier by an error as soon as a part of it fails", arguments: [0, 1, 2])
  func failingBarrier(part: Int) throws {
    let bench = try HoldingBench()
    let barrier = bench.put(2, sector: 3, frame: 12)
    for step in 0..<part {
      #expect(try bench.work() == [:], "step \(step)")
      bench.queue.finish(0)
    }
    #expect(try bench.work() == [:])
    bench.queue.finish(0, isDone: false)
    #expect(try bench.work() == [barrier: -1] && bench.queue.names == [] && bench.guest.mappedFrames == [])
    // What comes after it begins.
    _ = bench.put(0, sector: 4, frame: 13)
    #expect(try bench.work() == [:] && bench.queue.names == ["read 4"])
  }

  @Test("flushes beside reads and writes, and waits for none of them")
  func flush() throws {
    let bench = try HoldingBench()
    _ = bench.put(1, sector: 1, frame: 10)
    let flush = bench.put(3)
    #expect(try bench.work() == [:] && bench.queue.names == ["write 1", "flush"])
    bench.queue.finish(1)
    #expect(try bench.work() == [flush: 0] && bench.queue.names == ["write 1"])
  }

  @Test("maps no more than 1056 pages at a time")
  func pages() throws {
    let bench = try HoldingBench(sectors: 300)
    let segments = (0..<256).map { (index: Int) -> (UInt32, UInt8, UInt8) in
      (UInt32(10 + index / 8), UInt8(index % 8), UInt8(index % 8))
    }
    for _ in 0..<6 {
      bench.frontEnd.put(
        slot: bench.frontEnd.indirectSlot(operation: 0, sector: 0, segments: segments, page: 9))
    }
    #expect(try bench.work() == [:] && bench.queue.waiting.count == 4)
    bench.queue.finish(1)
    #expect(try bench.work().count == 1 && bench.queue.waiting.count == 4)
    for left in [4, 3, 2, 1] {
      bench.queue.finish(0)
      #expect(try bench.work().count == 1, "\(left)")
    }
    bench.queue.finish(0)
    #expect(try bench.work().count == 1 && bench.guest.mappedFrames == [])
  }

  @Test("waits for what is under way when its ring is given up, and answers nothing")
  func drain() throws {
    let bench = try HoldingBench()
    for index in 0..<5 { _ = bench.put(1, sector: UInt64(index), frame: 10 + UInt32(index)) }
    _ = bench.put(2)
    _ = bench.put(1, sector: 63, frame: 20)
    #expect(try bench.work() == [:] && bench.guest.mappedFrames == [10, 11, 12, 13, 14])
    bench.server.drain()
    #expect(bench.queue.names == [] && bench.guest.mappedFrames == [])
    #expect(try bench.frontEnd.take() == nil)
    // Of the five all were done, of the two that had to wait nothing.
    #expect(bench.file.bytes.prefix(5 * 512).allSatisfy { $0 == 0 } && bench.file.bytes[63 * 512] == 63)
  }

  @Test("has what a ring holds carried out at a time, each in its place", arguments: BlockEngine.available)
  func everything(engine: BlockEngine) throws {
    let bench = try BlockBench(engine, sectors: 8 * 32)
    for frame in 10..<42 { bench.guest.grant(frame) }
    var random = SystemRandom(state: 7)
    var expected = bench.file.bytes
    for round in 0..<50 {
      var reads: [(frame: Int, sector: Int)] = []
      for index in 0..<32 {
        let sector = 8 * ((index * 5 + round) % 32)
        let isRead = random.below(2) == 0
        let page = bench.guest.page(10 + index)
        if isRead {
          reads.append((10 + index, sector))
        } else {
          let byte = UInt8(random.below(256))
          page.initializeMemory(as: UInt8.self, repeating: byte)
          expected.replaceSubrange(sector * 512..<sector * 512 + 4096, with: repeatElement(byte, count: 4096))
        }
        bench.frontEnd.put(
          operation: isRead ? 0 : 1, sector: UInt64(sector), segments: [(UInt32(10 + index), 0, 7)])
      }
      let responses = try bench.responses(to: 32)
      #expect(Set(responses.map(\.identifier)).count == 32 && responses.allSatisfy { $0.status == 0 })
      for (frame, sector) in reads {
        #expect(bench.guest.page(frame).elementsEqual(expected[sector * 512..<sector * 512 + 4096]))
      }
    }
    #expect(bench.file.bytes == expected && bench.guest.mappedFrames == [])
  }

  @Test("fails what is behind the end of an image that was cut short", arguments: BlockEngine.available)
  func truncated(engine: BlockEngine) throws {
    let bench = try BlockBench(engine)
    bench.guest.grant(10)
    #expect(truncate(bench.file.path, 4096 + 512) == 0)
    #expect(try bench.status(0, sector: 8, [(10, 0, 0)]) == 0)
    #expect(try bench.status(0, sector: 8, [(10, 0, 7)]) == -1)
    #expect(try bench.status(0, sector: 20, [(10, 0, 7)]) == -1)
  }

  @Test("leaves an io_uring its image, reads, writes and flushes, and no change of that")
  func restrictions() throws {
    guard BlockEngine.available.contains(.ring) else { return }
    let file = TemporaryFile(Array(repeating: 3, count: 4096))
    let queue = try #require(IOUringQueue(try DiskImage(path: file.path, readOnly: false)))
    let other = open(file.path, O_RDONLY)
    defer { close(other) }
    let byte = UnsafeMutablePointer<UInt8>.allocate(capacity: 1)
    defer { byte.deallocate() }
    var vector = iovec(iov_base: byte, iov_len: 1)
    func result(isFixed: Bool, _ prepare: (UnsafeMutablePointer<io_uring_sqe>) -> Void) throws -> Int32 {
      let entry = try #require(io_uring_get_sqe(queue.uring))
      prepare(entry)
      if isFixed { io_uring_sqe_set_flags(entry, 1 << UInt32(IOSQE_FIXED_FILE_BIT)) }
      // What is refused is answered too.
      _ = io_uring_submit(queue.uring)
      var found: UnsafeMutablePointer<io_uring_cqe>?
      #expect(io_uring_wait_cqes(queue.uring, &found, 1, nil, nil) == 0)
      let answer = try #require(found)
      defer { io_uring_cqe_seen(queue.uring, answer) }
      return answer.pointee.res
    }
    // What it is for.
    #expect(try result(isFixed: true) { io_uring_prep_readv($0, 0, &vector, 1, 9) } == 1)
    #expect(byte.pointee == 3)
    #expect(try result(isFixed: false) { io_uring_prep_readv($0, other, &vector, 1, 0) } == -EACCES)
    #expect(try result(isFixed: true) { io_uring_prep_read($0, 0, byte, 1, 0) } == -EACCES)
    #expect(
      try result(isFixed: false) { io_uring_prep_openat($0, AT_FDCWD, "/etc/passwd", O_RDONLY, 0) } == -EACCES
    )
    var files = [other]
    #expect(io_uring_register_files(queue.uring, &files, 1) == -EACCES)
    #expect(io_uring_unregister_files(queue.uring) == -EACCES)
  }
}
