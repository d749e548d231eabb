// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Synchronization

/// What a guest's kernel does with its events, for the host: a handler of up-calls that keeps to the protocol.
final class HostEvents: EventRecipient, Sendable {
  /// The host's `shared_info`, with the `vcpu_info` of its one vCPU at its beginning.
  let page = SharedPage()
  private let isKicked = Atomic(false)
  /// The back ends' channels, by the host's port.
  private let channels = Mutex<[EventPort: HostEventChannel]>([:])

  func kick(_ vcpu: Int) { isKicked.store(true, ordering: .sequentiallyConsistent) }
  func stir() {}

  func hold(_ channel: HostEventChannel) { channels.withLock { $0[channel.port] = channel } }
  func holds(_ channel: HostEventChannel) -> Bool { channels.withLock { $0[channel.port] === channel } }

  /// Forgets channels.
  func release(where isReleased: (HostEventChannel) -> Bool) -> [HostEventChannel] {
    channels.withLock { channels in
      let released = channels.values.filter(isReleased)
      for channel in released { channels[channel.port] = nil }
      return released
    }
  }

  /// Takes all events there are: the up-call, then the words that the selector names, then their ports. Several threads
  /// may do so at once; each event is taken by one.
  func serve() {
    while isKicked.exchange(false, ordering: .sequentiallyConsistent) {
      page.upcallPending.storeShared(0)
      var words = page.selector.takeShared()
      while words != 0 {
        let word = words.trailingZeroBitCount
        words &= words - 1
        var ports = page.pending(word).takeShared()
        while ports != 0 {
          let port = EventPort(UInt32(word * 64 + ports.trailingZeroBitCount))
          ports &= ports - 1
          // Called without the lock: a handler may close its channel.
          channels.withLock { $0[port] }?.handler()
        }
      }
    }
  }
}

/// A page of this process, laid out as `struct shared_info`.
final class SharedPage: @unchecked Sendable {
  let base = UnsafeMutableRawPointer.allocate(byteCount: frameSize, alignment: frameSize)

  init() { base.initializeMemory(as: UInt8.self, repeating: 0, count: frameSize) }
  deinit { base.deallocate() }

  var upcallPending: UnsafeMutablePointer<UInt8> { ProcessorInfo(base: base).upcallPending }
  var selector: UnsafeMutablePointer<UInt64> { ProcessorInfo(base: base).pendingSelector }
  /// A word of 64 pending ports.
  func pending(_ word: Int) -> UnsafeMutablePointer<UInt64> {
    SharedInfo(base: base).pending(word)
  }
}
