// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// The machines as a hypervisor without oracle runs them.
public struct OptimisedMachinery: Machinery {
  public init() {}

  public func makeGrantTables(
    frames: any FrameOwnership, memory: any FrameMemory
  ) -> any GrantTables {
    OptimisedGrantTables(frames: frames, memory: memory, entries: SharedGrantEntries(names: frames))
  }

  public func makeEventPorts() -> any EventPorts { OptimisedEventPorts(words: SharedEventWords()) }

  public func makeShadowTables(
    memory: UnsafeMutableRawPointer, frameCount: Int, pages: ShadowPages, vcpuCount: Int, stub: any ShadowStub
  ) -> any ShadowTables {
    ShadowMachine(
      tables: ParavirtualGuestTables(base: memory, frameCount: frameCount), pages: pages,
      vcpuCount: vcpuCount,
      policy: .few, stub: stub)
  }

  public func makeBackRing(page: UnsafeMutableRawPointer, slotCount: Int, slotSize: Int) -> any BackRing {
    OptimisedBackRing(page: page, slotCount: slotCount, slotSize: slotSize)
  }

  public func makeStreamRing(
    page: UnsafeMutableRawPointer, layout: StreamRingLayout
  ) -> any StreamRing {
    OptimisedStreamRing(page: page, layout: layout)
  }
}
