// SPDX-License-Identifier: Apache-2.0

import Glibc
import Interfaces
import KVM
import Synchronization

/// Takes rights from processors that a shadow entry does not give any more.
///
/// KVM without two-dimensional paging derives tables of its own from the shadow, and does not see what this process
/// stores there. It sees what a vCPU stores: a few instructions in the monitor's ring 0 store each entry once more. If
/// that cannot be, KVM is made to forget all that it derived. With two-dimensional paging what counts is that each
/// vCPU's translations are flushed before it runs on.
final class DowngradeStub: ShadowStub {
  unowned(unsafe) var space: ParavirtualSpace?

  /// Beyond so many, forgetting everything is cheaper.
  static let storeLimit = 512

  func store(_ downgrades: UnsafeBufferPointer<Downgrade>) { space?.store(downgrades) }
}

extension ParavirtualSpace {
  /// When it returns, no vCPU is in the guest, and none uses more of those entries than they give now.
  fileprivate func store(_ downgrades: UnsafeBufferPointer<Downgrade>) {
    for processor in processors {
      if processor !== domain?.acting { stop(processor) }
      processor.isStale.store(true, ordering: .sequentiallyConsistent)
    }
    guard let acting = domain?.acting as? ParavirtualProcessor else { return forgetTranslations() }
    acting.statistics.count(.downgradeBatches)
    guard downgrades.count <= DowngradeStub.storeLimit else { return forgetTranslations() }
    let first = window.pool.firstFrame.address.rawValue
    for (index, downgrade) in downgrades.enumerated() {
      window.list[index] = MonitorWindow.pool + (downgrade.address.rawValue - first)
    }
    if !acting.storeDowngrades(downgrades.count) { forgetTranslations() }
  }

  /// Makes KVM forget what it derived from the shadow.
  private func forgetTranslations() {
    domain?.acting?.statistics.count(.forgets)
    do throws(KVMError) { try machine.forgetTranslations() } catch {
      // No vCPU enters the guest any more, so none uses anything.
      domain?.crash("KVM does not forget the shadow page tables: \(error)")
    }
  }

  /// Waits until a vCPU is out of the guest; it stays out as long as the caller holds the lock.
  private func stop(_ processor: ParavirtualProcessor) {
    var tries = 0
    while processor.inGuest.load(ordering: .sequentiallyConsistent) {
      if tries & 0xff == 0 { processor.kick() }
      tries += 1
      sched_yield()
    }
  }
}

extension ParavirtualProcessor {
  /// Lets the vCPU store the entries of the window's list once more, in ring 0.
  /// - Returns: false if it could not.
  fileprivate func storeDowngrades(_ count: Int) -> Bool {
    // What KVM has to deliver to the guest must not arrive in the stub.
    guard !virtual.exceptionPending else { return false }
    let (general, others) = (registers.pointee, special.pointee)
    setMonitorSegments()
    special.pointee.cr3 = space.window.root.address.rawValue
    registers.pointee.rip = MonitorWindow.storeStub
    registers.pointee.rsp = MonitorWindow.stackTop(of: index)
    registers.pointee.rflags = Flags.always
    registers.pointee.rsi = MonitorWindow.list
    registers.pointee.rcx = UInt64(count)
    virtual.registersChanged = true
    let isDone = runStub()
    registers.pointee = general
    special.pointee = others
    virtual.registersChanged = true
    // Kicks that came meanwhile were meant for the guest.
    virtual.kick()
    return isDone
  }

  private func runStub() -> Bool {
    // Signals interrupt it, and it goes on where it was.
    for _ in 0..<10_000 {
      virtual.clearKick()
      guard let exit = try? virtual.enter() else { return false }
      switch exit {
      case .port(MonitorWindow.Port.stored): return true
      case .interrupted: continue
      default: return false
      }
    }
    return false
  }
}
