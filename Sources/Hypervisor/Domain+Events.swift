// SPDX-License-Identifier: Apache-2.0

import Glibc
import Interfaces
import Machines

/// Events as the guest sees them: bits in shared memory, and vCPUs that are told.
///
/// Called with the lock of the event channels held.
extension Domain: EventSink {
  func deliver(_ port: EventPort, to vcpu: Int) {
    if shared.events.raise(port) { announce(port, to: vcpu) }
    // Whoever polls looks at shared memory, whether the port is masked or pending already.
    for processor in processors { processor.wakeUp.notify() }
  }

  func clearPending(_ port: EventPort) { shared.events.clear(port) }

  func announce(_ port: EventPort, to vcpu: Int) {
    guard processors.indices.contains(vcpu) else { return }
    let processor = processors[vcpu]
    if shared.events.announce(port, to: SharedUpcallWords(base: processor.info.base)) { processor.kick() }
  }

  func unmask(_ port: EventPort, vcpu: Int) {
    if shared.events.unmask(port) { announce(port, to: vcpu) }
  }

  /// A vCPU's `vcpu_info` lies elsewhere from now on; as in real Xen everything counts as pending once.
  func moveInfo(of processor: Processor, to info: ProcessorInfo) {
    host.events.withLock {
      processor.info = info
      _ = info.pendingSelector.setShared(~0)
      info.upcallPending.storeShared(1)
      processor.kick()
    }
  }
}
