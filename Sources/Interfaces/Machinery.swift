// SPDX-License-Identifier: Apache-2.0

/// The machines that a host runs on. The optimised ones stand in Machines; with `--check`, ones that compare each
/// step with the specification take their place, and nothing else in the hypervisor changes.
public protocol Machinery: Sendable {
  /// The grant tables of one host.
  func makeGrantTables(frames: any FrameOwnership, memory: any FrameMemory) -> any GrantTables

  /// The event channels of one host.
  func makeEventPorts() -> any EventPorts

  /// The shadow page tables of a PV domain, whose memory is the whole pool of `frameCount` frames at `memory`.
  func makeShadowTables(
    memory: UnsafeMutableRawPointer, frameCount: Int, pages: ShadowPages, vcpuCount: Int, stub: any ShadowStub
  ) -> any ShadowTables

  /// The back end's side of a ring that lies in `page` (4096 bytes, shared with a guest).
  func makeBackRing(page: UnsafeMutableRawPointer, slotCount: Int, slotSize: Int) -> any BackRing

  /// The back end's side of a pair of byte streams in `page`.
  func makeStreamRing(page: UnsafeMutableRawPointer, layout: StreamRingLayout) -> any StreamRing
}
