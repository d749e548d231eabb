// SPDX-License-Identifier: Apache-2.0

import Glibc
import Interfaces

/// `vcpu_op`. Source: xen/include/public/vcpu.h.
extension Processor {
  private enum VirtualCPUOperation: UInt64 {
    case initialise = 0
    case up = 1
    case down = 2
    case isUp = 3
    case getRunState = 4
    case registerRunState = 5
    case setPeriodicTimer = 6
    case stopPeriodicTimer = 7
    case setSingleShotTimer = 8
    case stopSingleShotTimer = 9
    case registerInfo = 10
    case registerTime = 13
  }

  func virtualCPUOperation(_ arguments: HypercallArguments) throws(HypercallError) -> Int64 {
    let target = try peer(arguments.second)
    guard let operation = VirtualCPUOperation(rawValue: arguments.first) else { throw .notImplemented }
    let address = arguments.third
    switch operation {
    case .initialise: try target.initialise(from: address, of: self)
    case .up:
      guard target.wasInitialised else { throw .invalid }
      target.isUp.store(true, ordering: .sequentiallyConsistent)
      target.kick()
    case .down:
      target.isUp.store(false, ordering: .sequentiallyConsistent)
      target.kick()
    case .isUp: return target.isUp.load(ordering: .acquiring) ? 1 : 0
    case .getRunState: try writeRunState(to: address)
    case .registerRunState: try writeRunState(to: try readWord(address))
    case .setPeriodicTimer: try target.setPeriodic(try readWord(address))
    case .stopPeriodicTimer: domain.timers.setPeriod(target.index, nanoseconds: nil)
    case .setSingleShotTimer:
      guard target === self else { throw .invalid }
      try setSingleShot(address)
    case .stopSingleShotTimer:
      guard target === self else { throw .invalid }
      domain.timers.set(index, deadline: nil)
    case .registerInfo: try target.moveInfo(try argument(address, byteCount: 16))
    case .registerTime:
      let place = try readWord(address)
      guard place != 0 else { return 0 }
      var copy = [UInt8](repeating: 0, count: 32)
      let result: Result<Void, HypercallError> = copy.withUnsafeMutableBytes { bytes in
        guard let base = bytes.baseAddress else { return .success(()) }
        domain.clock.publish(at: base, offset: target.timeStampOffset)
        do throws(HypercallError) {
          return .success(try copyOut(UnsafeRawBufferPointer(bytes), to: place))
        } catch {
          return .failure(error)
        }
      }
      try result.get()
    }
    return 0
  }

  /// `struct vcpu_runstate_info`: state (32 bits), state_entry_time, time[4] (64 each). Always running, so far.
  private func writeRunState(to address: UInt64) throws(HypercallError) {
    var block = ArgumentBlock()
    block.set(8, u64: domain.clock.now)
    block.set(16, u64: domain.clock.now)
    try reply(block, byteCount: 48, to: address)
  }

  /// `struct vcpu_set_periodic_timer`: period_ns (64 bits), at least a millisecond.
  private func setPeriodic(_ period: UInt64) throws(HypercallError) {
    let (shortest, longest): (UInt64, UInt64) = (1_000_000, 1 << 40)
    guard (shortest...longest).contains(period) else { throw .invalid }
    domain.timers.setPeriod(index, nanoseconds: period)
  }

  /// `struct vcpu_set_singleshot_timer`: timeout_abs_ns (64 bits), flags (32; bit 0: refuse what is past).
  private func setSingleShot(_ address: UInt64) throws(HypercallError) {
    let block = try argument(address, byteCount: 16)
    if block.u32(8) & 1 != 0, block.u64(0) < domain.clock.now { throw .timeExpired }
    domain.timers.set(index, deadline: max(block.u64(0), 1))
  }

  /// `struct vcpu_register_vcpu_info`: mfn (64 bits; the guest's own name for a frame), offset (32). Once for each vCPU.
  private func moveInfo(_ block: ArgumentBlock) throws(HypercallError) {
    let offset = Int(block.u32(8))
    guard let frame = domain.space.machineFrame(named: block.u64(0)), infoFrame == nil,
      offset <= frameSize - ProcessorInfo.size, offset % 8 == 0
    else { throw .invalid }
    let memory = domain.frames.memory
    guard let bytes = memory.bytes(of: frame), memory.retain(frame, ownedBy: domain.id) else {
      throw .invalid
    }
    infoFrame = frame
    // The two overlap where a guest gives the shared page itself.
    memmove(bytes + offset, info.base, ProcessorInfo.size)
    domain.moveInfo(of: self, to: ProcessorInfo(base: bytes + offset))
  }
}
