// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What event channels do to the vCPUs. Called with the lock of the event channels held.
extension Domain: EventRecipient {
  public func kick(_ vcpu: Int) { processors[vcpu].noticeEvent() }

  /// A guest that reads its console's ring over and over sleeps without having said for what: see `PollingGuess`.
  public func stir() {
    for processor in processors { processor.wakeUp.notify() }
  }

  /// The vCPU's `vcpu_info` lies elsewhere from now on.
  func moveInfo(of processor: Processor, to info: ProcessorInfo) {
    host.events.perform { ports in
      processor.info = info
      _ = ports.register(processor.index, of: id, info: info.base)
    }
  }
}
