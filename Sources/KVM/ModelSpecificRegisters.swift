// SPDX-License-Identifier: Apache-2.0

import CKVM
import Glibc

extension VirtualCPU {
  /// Sets model-specific registers (`KVM_SET_MSRS`): all of them, or an error.
  public func setModelSpecific(_ values: [(number: UInt32, value: UInt64)]) throws(KVMError) {
    let done = withMSRs(values) { kvm_call_pointer(descriptor, kvm_request_set_msrs, $0) }
    guard Int(done) == values.count else { throw .failed(operation: "KVM_SET_MSRS", errno: errno) }
  }

  /// Reads one model-specific register; nil if KVM does not know it.
  public func modelSpecific(_ number: UInt32) -> UInt64? {
    withMSRs([(number, 0)]) { buffer -> UInt64? in
      guard kvm_call_pointer(descriptor, kvm_request_get_msrs, buffer) == 1 else { return nil }
      return (buffer + kvm_msrs_entries_offset()).assumingMemoryBound(to: kvm_msr_entry.self).pointee.data
    }
  }

  /// Sets XCR0, as far as KVM keeps it for the vCPU; where it does not, the processor's own value counts.
  public func setExtendedControl(_ value: UInt64) {
    var registers = kvm_xcrs()
    registers.nr_xcrs = 1
    registers.xcrs.0.xcr = 0
    registers.xcrs.0.value = value
    _ = kvm_call_pointer(descriptor, kvm_request_set_xcrs, &registers)
  }

  private func withMSRs<Result>(
    _ values: [(number: UInt32, value: UInt64)], _ body: (UnsafeMutableRawPointer) -> Result
  ) -> Result {
    let offset = kvm_msrs_entries_offset()
    let size = offset + MemoryLayout<kvm_msr_entry>.stride * values.count
    return withUnsafeTemporaryAllocation(byteCount: size, alignment: 8) { buffer in
      guard let base = buffer.baseAddress else { preconditionFailure("an empty buffer") }
      memset(base, 0, size)
      base.assumingMemoryBound(to: kvm_msrs.self).pointee.nmsrs = UInt32(values.count)
      let entries = (base + offset).assumingMemoryBound(to: kvm_msr_entry.self)
      for (index, entry) in values.enumerated() {
        entries[index].index = entry.number
        entries[index].data = entry.value
      }
      return body(base)
    }
  }
}

/// The host's time-stamp counter.
public func hostTimeStamp() -> UInt64 { lockstep_rdtsc() }
