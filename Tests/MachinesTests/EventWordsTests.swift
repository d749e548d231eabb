// SPDX-License-Identifier: Apache-2.0

import Foundation
import Interfaces
import Machines
import Synchronization
import Testing

@Suite("Event words") struct EventWordsTests {
  private let words = SharedEventWords()

  @Test("each lies where the ABI has it")
  func places() {
    let guest = EventGuest()
    let place = EventPlace(domain: DomainID(1), port: EventPort(130), sharedInfo: guest.base)
    let upcall = UpcallPlace(domain: DomainID(1), vcpu: 1, info: guest.info(1))
    #expect(!words.raise(place) && words.raise(place) && words.isPending(place))
    #expect(guest.word(at: 2048 + 16).pointee.load(ordering: .relaxed) == 4)
    guest.word(at: 2560 + 16).pointee.store(6, ordering: .relaxed)
    #expect(words.isMasked(place) && words.unmask(place) && !words.unmask(place))
    #expect(guest.word(at: 2560 + 16).pointee.load(ordering: .relaxed) == 2)
    words.clear(place)
    #expect(!words.isPending(place))
    words.select(4, upcall)
    #expect(guest.word(at: 64 + 8).pointee.load(ordering: .relaxed) == 4)
    #expect(!words.notify(upcall) && words.notify(upcall) && words.isUpcallPending(upcall))
    #expect(guest.base.load(fromByteOffset: 64, as: UInt16.self) == 1)
    words.maskUpcalls(upcall)
    #expect(words.isUpcallMasked(upcall) && guest.base.load(fromByteOffset: 64, as: UInt16.self) == 0x101)
  }

  @Test("no event is lost between a sender and a handler that keeps to the protocol")
  func handlerBesideSender() {
    let host = EventHost()
    let guest = host.guests[0]
    let port = host.connect().0
    let rounds = 100_000
    let handled = Atomic(0)
    let ended = DispatchSemaphore(value: 0)
    let sender = Thread {
      for round in 0..<rounds {
        _ = host.ports.send(EventPort(1), by: EventHost.second)
        // The next event is sent when this one was seen: one that is lost is waited for in vain.
        while handled.load(ordering: .acquiring) <= round {}
      }
      ended.signal()
    }
    sender.start()
    let deadline = ContinuousClock.now + .seconds(30)
    var spins = 0
    while handled.load(ordering: .relaxed) < rounds {
      spins += 1
      if spins % 100_000 == 0, ContinuousClock.now > deadline { break }
      guard guest.upcallPending().pointee.exchange(0, ordering: .sequentiallyConsistent) != 0 else {
        continue
      }
      let selected = guest.word(at: 8).pointee.exchange(0, ordering: .sequentiallyConsistent)
      guard selected & 1 != 0 else { continue }
      let bit: UInt64 = 1 << UInt64(port.rawValue)
      if guest.word(at: 2048).pointee.bitwiseAnd(~bit, ordering: .sequentiallyConsistent).oldValue & bit != 0
      {
        handled.wrappingAdd(1, ordering: .releasing)
      }
    }
    #expect(handled.load(ordering: .relaxed) == rounds)
    handled.store(rounds, ordering: .releasing)
    ended.wait()
  }
}
