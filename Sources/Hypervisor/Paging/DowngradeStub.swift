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

  /// So many fit into the window's list, one by one; beyond, forgetting everything is cheaper.
  static let storeLimit = 512
  /// Likewise of runs of entries that follow one another: a closed table's are one.
  static let runLimit = 256

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
    let runs = listRuns(downgrades)
    if let runs, runs * 2 <= downgrades.count {
      if !acting.storeRuns(runs) { forgetTranslations() }
      return
    }
    guard downgrades.count <= DowngradeStub.storeLimit else { return forgetTranslations() }
    for (index, downgrade) in downgrades.enumerated() { window.list[index] = windowAddress(of: downgrade) }
    if !acting.storeDowngrades(downgrades.count) { forgetTranslations() }
  }

  private func windowAddress(of downgrade: Downgrade) -> UInt64 {
    MonitorWindow.pool + (downgrade.address.rawValue - window.pool.firstFrame.address.rawValue)
  }

  /// Writes the window's list as pairs: where entries that follow one another begin, and how many they are.
  /// - Returns: how many pairs; nil if they are too many.
  private func listRuns(_ downgrades: UnsafeBufferPointer<Downgrade>) -> Int? {
    var runs = 0
    var end: UInt64 = 0
    for downgrade in downgrades {
      let address = windowAddress(of: downgrade)
      if runs != 0, address == end {
        window.list[runs * 2 - 1] += 1
      } else {
        guard runs < DowngradeStub.runLimit else { return nil }
        window.list[runs * 2] = address
        window.list[runs * 2 + 1] = 1
        runs += 1
      }
      end = address + 8
    }
    return runs
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
    inMonitor {
      registers.pointee.rip = MonitorWindow.storeStub
      registers.pointee.rsi = MonitorWindow.list
      registers.pointee.rcx = UInt64(count)
    }
  }

  /// Likewise, of a list of runs, at least one.
  fileprivate func storeRuns(_ count: Int) -> Bool {
    inMonitor {
      registers.pointee.rip = MonitorWindow.runStub
      registers.pointee.rsi = space.window.list[0]
      registers.pointee.rdi = space.window.list[0]
      registers.pointee.rcx = space.window.list[1]
      registers.pointee.rbx = MonitorWindow.list + 16
      registers.pointee.rdx = UInt64(count)
    }
  }

  /// Runs a stub in ring 0, with the registers that are set, and gives the guest's back.
  /// - Returns: false if it has not come to its end.
  private func inMonitor(_ setRegisters: () -> Void) -> Bool {
    // What KVM has to deliver to the guest must not arrive in the stub.
    guard !virtual.exceptionPending else { return false }
    let (general, others) = (registers.pointee, special.pointee)
    setMonitorSegments()
    special.pointee.cr3 = space.window.root.address.rawValue
    registers.pointee.rsp = MonitorWindow.stackTop(of: index)
    registers.pointee.rflags = Flags.always
    setRegisters()
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
