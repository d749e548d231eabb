// SPDX-License-Identifier: Apache-2.0

import Foundation
import Interfaces
import Machines
import Synchronization
import Testing

@Suite("Event words") struct EventWordsTests {
  /// A `shared_info` whose first vCPU's words begin it.
  final class Page: @unchecked Sendable {
    let base = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
    init() { base.initializeMemory(as: UInt8.self, repeating: 0, count: 4096) }
    deinit { base.deallocate() }

    var words: SharedEventWords { SharedEventWords(base: base) }
    var upcall: SharedUpcallWords { SharedUpcallWords(base: base) }
    func word(at offset: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
      (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
    }
    var upcallPending: UnsafeMutablePointer<Atomic<UInt8>> {
      base.assumingMemoryBound(to: Atomic<UInt8>.self)
    }
  }

  @Test("an event is announced once: its bit, its word, its up-call, a kick")
  func announced() {
    let page = Page()
    let port = EventPort(130)
    #expect(page.words.raise(port))
    #expect(page.words.announce(port, to: page.upcall), "the vCPU is kicked")
    #expect(page.word(at: 2048 + 16).pointee.load(ordering: .relaxed) == 4)
    #expect(page.word(at: 8).pointee.load(ordering: .relaxed) == 4)
    #expect(page.upcallPending.pointee.load(ordering: .relaxed) == 1)
    #expect(!page.words.raise(port), "what is pending is not announced again")
  }

  @Test("a vCPU whose up-calls are masked is kicked all the same")
  func maskedUpcalls() {
    let page = Page()
    page.base.storeBytes(of: 1, toByteOffset: 1, as: UInt8.self)
    #expect(page.words.raise(EventPort(1)))
    #expect(page.words.announce(EventPort(1), to: page.upcall))
  }

  @Test("a masked port is pending and not announced, until it is unmasked")
  func masked() {
    let page = Page()
    page.word(at: 2560).pointee.store(2, ordering: .relaxed)
    #expect(page.words.raise(EventPort(1)))
    #expect(!page.words.announce(EventPort(1), to: page.upcall))
    #expect(page.words.isPending(EventPort(1)))
    #expect(page.upcallPending.pointee.load(ordering: .relaxed) == 0)
    #expect(page.words.unmask(EventPort(1)))
    #expect(page.words.announce(EventPort(1), to: page.upcall))
    #expect(!page.words.unmask(EventPort(1)), "it is not masked any more")
  }

  @Test("numbers that are no port's touch nothing", arguments: [4096, 4097, UInt32.max])
  func hostileNumbers(number: UInt32) {
    let page = Page()
    page.word(at: 3072).pointee.store(.max, ordering: .relaxed)
    let port = EventPort(number)
    #expect(!page.words.raise(port) && !page.words.unmask(port) && !page.words.isPending(port))
    #expect(!page.words.announce(port, to: page.upcall))
    page.words.clear(port)
    #expect(page.word(at: 3072).pointee.load(ordering: .relaxed) == .max)
  }

  @Test("no event is lost between a sender and a handler that keeps to the protocol")
  func handlerBesideSender() {
    let page = Page()
    let rounds = 100_000
    let port = EventPort(77)
    let handled = Atomic(0)
    let sender = Thread {
      for round in 0..<rounds {
        if page.words.raise(port) { _ = page.words.announce(port, to: page.upcall) }
        // The next event is raised when this one was seen: one that is lost is waited for in vain.
        while handled.load(ordering: .acquiring) <= round {}
      }
    }
    sender.start()
    let deadline = ContinuousClock.now + .seconds(30)
    var spins = 0
    while handled.load(ordering: .relaxed) < rounds {
      spins += 1
      if spins % 100_000 == 0, ContinuousClock.now > deadline { break }
      guard page.upcallPending.pointee.exchange(0, ordering: .sequentiallyConsistent) != 0 else { continue }
      let selected = page.word(at: 8).pointee.exchange(0, ordering: .sequentiallyConsistent)
      guard selected & 2 != 0 else { continue }
      let bit: UInt64 = 1 << 13
      if page.word(at: 2048 + 8).pointee.bitwiseAnd(~bit, ordering: .sequentiallyConsistent).oldValue & bit
        != 0
      {
        handled.wrappingAdd(1, ordering: .releasing)
      }
    }
    #expect(handled.load(ordering: .relaxed) == rounds)
    handled.store(rounds, ordering: .releasing)
  }
}
