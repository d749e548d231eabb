// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What a domain is made of.
public struct DomainConfiguration: Sendable, Hashable {
  public var name: String
  public var type: GuestType
  /// Memory in 4 KiB frames.
  public var frameCount: Int
  /// 1 … `Domain.maximumVirtualCPUs`.
  public var virtualCPUCount: Int
  /// The most frames that its grant table may have, 1 … 64.
  public var maximumGrantFrames: Int

  public init(
    name: String, type: GuestType = .pv, frameCount: Int, virtualCPUCount: Int = 1,
    maximumGrantFrames: Int = 32
  ) {
    self.name = name
    self.type = type
    self.frameCount = frameCount
    self.virtualCPUCount = virtualCPUCount
    self.maximumGrantFrames = maximumGrantFrames
  }
}

/// Where the first vCPU of a PV guest begins: the domain builder computes it.
/// Source: xen/include/public/arch-x86/xen-x86_64.h and the start-of-day notes in xen/include/public/xen.h.
public struct InitialState: Sendable, Hashable {
  /// rip: the kernel's entry.
  public var entry: VirtualAddress
  /// rsp: the top of the boot stack.
  public var stack: VirtualAddress
  /// rsi: the start-of-day page.
  public var startInfo: VirtualAddress
  /// CR3: the machine frame of the initial L4 table; it counts as pinned.
  public var root: MachineFrame

  public init(entry: VirtualAddress, stack: VirtualAddress, startInfo: VirtualAddress, root: MachineFrame) {
    self.entry = entry
    self.stack = stack
    self.startInfo = startInfo
    self.root = root
  }
}

/// Where the first vCPU of a PVH guest begins, and what its kernel asks for later. Source: docs/misc/pvh.pandoc.
public struct PhysicalState: Sendable, Hashable {
  /// eip: the kernel's entry, in 32-bit protected mode without paging.
  public var entry: UInt32
  /// ebx: the guest-physical address of `struct hvm_start_info`.
  public var startInfo: UInt32
  /// The rings of store and console, and the guest's ports of their event channels.
  public var storeFrame: GuestFrame
  public var storePort: EventPort
  public var consoleFrame: GuestFrame
  public var consolePort: EventPort

  public init(
    entry: UInt32, startInfo: UInt32, storeFrame: GuestFrame, storePort: EventPort, consoleFrame: GuestFrame,
    consolePort: EventPort
  ) {
    self.entry = entry
    self.startInfo = startInfo
    self.storeFrame = storeFrame
    self.storePort = storePort
    self.consoleFrame = consoleFrame
    self.consolePort = consolePort
  }
}

/// How a guest begins.
public enum FirstState: Sendable, Hashable {
  case paravirtual(InitialState)
  case physical(PhysicalState)
}
