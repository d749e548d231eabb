// SPDX-License-Identifier: Apache-2.0

/// Hypercalls by number. Source: xen/include/public/xen.h, `__HYPERVISOR_*`.
enum HypercallNumber: UInt64, CaseIterable, Sendable {
  case setTrapTable = 0
  case mmuUpdate = 1
  case setGDT = 2
  case stackSwitch = 3
  case setCallbacks = 4
  case fpuTaskSwitch = 5
  case platformOperation = 7
  case setDebugRegister = 8
  case getDebugRegister = 9
  case updateDescriptor = 10
  case memoryOperation = 12
  case multicall = 13
  case updateVirtualMapping = 14
  case setTimer = 15
  case version = 17
  case consoleIO = 18
  case grantTableOperation = 20
  case virtualMachineAssist = 21
  case interruptReturn = 23
  case virtualCPUOperation = 24
  case setSegmentBase = 25
  case extendedMMUOperation = 26
  case schedulerOperation = 29
  case callbackOperation = 30
  case eventChannelOperation = 32
  case physicalDeviceOperation = 33
  case hardwareMachineOperation = 34

  /// The name that the ABI's headers give it.
  var name: String {
    switch self {
    case .setTrapTable: "set_trap_table"
    case .mmuUpdate: "mmu_update"
    case .setGDT: "set_gdt"
    case .stackSwitch: "stack_switch"
    case .setCallbacks: "set_callbacks"
    case .fpuTaskSwitch: "fpu_taskswitch"
    case .platformOperation: "platform_op"
    case .setDebugRegister: "set_debugreg"
    case .getDebugRegister: "get_debugreg"
    case .updateDescriptor: "update_descriptor"
    case .memoryOperation: "memory_op"
    case .multicall: "multicall"
    case .updateVirtualMapping: "update_va_mapping"
    case .setTimer: "set_timer_op"
    case .version: "xen_version"
    case .consoleIO: "console_io"
    case .grantTableOperation: "grant_table_op"
    case .virtualMachineAssist: "vm_assist"
    case .interruptReturn: "iret"
    case .virtualCPUOperation: "vcpu_op"
    case .setSegmentBase: "set_segment_base"
    case .extendedMMUOperation: "mmuext_op"
    case .schedulerOperation: "sched_op"
    case .callbackOperation: "callback_op"
    case .eventChannelOperation: "event_channel_op"
    case .physicalDeviceOperation: "physdev_op"
    case .hardwareMachineOperation: "hvm_op"
    }
  }
}
