// SPDX-License-Identifier: Apache-2.0

import Glibc
import Interfaces

/// Events as the guest sees them: bits in shared memory, and vCPUs that are told.
///
/// Called with the lock of the event channels held.
extension Domain: EventSink {
  func deliver(_ port: EventPort, to vcpu: Int) {
    let word = Int(port.rawValue / 64)
    let bit: UInt64 = 1 << UInt64(port.rawValue % 64)
    guard word < 64 else { return }
    let wasPending = (shared.pending + word).setShared(bit) & bit != 0
    if !wasPending, !shared.isMasked(port) { tell(vcpu, word: word) }
    // Whoever polls looks at the port itself, masked or not.
    for processor in processors { processor.wakeUp.notify() }
  }

  func clearPending(_ port: EventPort) {
    let word = Int(port.rawValue / 64)
    guard word < 64 else { return }
    _ = (shared.pending + word).clearShared(1 << UInt64(port.rawValue % 64))
  }

  func unmask(_ port: EventPort, vcpu: Int) {
    let word = Int(port.rawValue / 64)
    let bit: UInt64 = 1 << UInt64(port.rawValue % 64)
    guard word < 64 else { return }
    let wasMasked = (shared.mask + word).clearShared(bit) & bit != 0
    if wasMasked, shared.isPending(port) { tell(vcpu, word: word) }
  }

  private func tell(_ vcpu: Int, word: Int) {
    guard processors.indices.contains(vcpu) else { return }
    let processor = processors[vcpu]
    let info = processor.info
    _ = info.pendingSelector.setShared(1 << UInt64(word))
    info.upcallPending.storeShared(1)
    // A guest that masks up-calls looks for itself when it unmasks them.
    if !info.isMasked { processor.kick() } else { processor.wakeUp.notify() }
  }

  /// A vCPU's `vcpu_info` lies elsewhere from now on; as in real Xen everything counts as pending once.
  func moveInfo(of processor: Processor, to info: ProcessorInfo) {
    host.events.withLock {
      processor.info = info
      _ = info.pendingSelector.setShared(~0)
      info.upcallPending.storeShared(1)
    }
  }
}
