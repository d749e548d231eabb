// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// A block ring whose back end is watched.
final class WitnessedRing: BackRing {
  private let inner: any BackRing
  private let page: UnsafeMutableRawPointer
  private let frame: Int
  private unowned let witness: BlockWitness
  private var taken: UInt32
  private var answered: UInt32
  private var published: UInt32
  /// Whether the back end has seen that there are no requests, and asked for an event.
  private(set) var isQuiet = false
  /// Whether the guest asked for an event that it has not had.
  var owesEvent = false

  init(_ inner: any BackRing, page: UnsafeMutableRawPointer, _ witness: BlockWitness) {
    self.inner = inner
    self.page = page
    self.witness = witness
    frame = witness.frame(of: page)
    taken = page.load(fromByteOffset: RingWord.responseProducer.rawValue, as: UInt32.self)
    answered = taken
    published = taken
  }

  var slotCount: Int { inner.slotCount }
  var slotSize: Int { inner.slotSize }

  private func word(_ word: RingWord) -> UInt32 { page.load(fromByteOffset: word.rawValue, as: UInt32.self) }

  /// Whether the guest's producer is beyond what the ring holds.
  private var isCorrupt: Bool { word(.requestProducer) &- taken > 32 &- (taken &- answered) }

  private func checked<Result>(_ body: () throws(RingError) -> Result) throws(RingError) -> Result {
    do throws(RingError) {
      return try body()
    } catch {
      if !isCorrupt { witness.complain("a sound ring is called corrupt: \(error)") }
      throw error
    }
  }

  func takeRequest(into slot: UnsafeMutableRawBufferPointer) throws(RingError) -> Bool {
    witness.meddle()
    let hasRequest = try checked { () throws(RingError) in try inner.takeRequest(into: slot) }
    if hasRequest {
      isQuiet = false
      taken &+= 1
      witness.take(UnsafeRawBufferPointer(slot))
    }
    witness.meddle()
    return hasRequest
  }

  func putResponse(_ slot: UnsafeRawBufferPointer) {
    guard witness.answer(slot) else { return }
    witness.meddle()
    inner.putResponse(slot)
    answered &+= 1
    witness.contents.adopt(frame)
    witness.meddle()
  }

  func pushResponses() -> Bool {
    let isAsked = answered &- word(.responseEvent) < answered &- published
    let isNotifying = inner.pushResponses()
    if isNotifying { owesEvent = true }
    if isNotifying != isAsked { witness.complain("the guest asked for an event or not, and is not heard") }
    published = answered
    if word(.responseProducer) != answered { witness.complain("not every request is answered") }
    witness.contents.adopt(frame)
    witness.meddle()
    return isNotifying
  }

  func finalCheckForRequests() throws(RingError) -> Bool {
    witness.meddle()
    let hasRequest = try checked { () throws(RingError) in try inner.finalCheckForRequests() }
    isQuiet = !hasRequest
    if isQuiet, word(.requestProducer) != taken || word(.requestEvent) != taken &+ 1 {
      witness.complain("the back end goes to sleep, and there are requests")
    }
    witness.contents.adopt(frame)
    witness.meddle()
    return hasRequest
  }
}
