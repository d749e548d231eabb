// SPDX-License-Identifier: Apache-2.0

/// The ports at which a PVH guest without any ACPI hardware switches itself off, as its ACPI tables tell it.
/// Source: ACPI specification 6.5, section 4.8.4.6, "Sleep Control and Status Registers".
public enum SleepPort {
  public static let control: UInt16 = 0xe8
  public static let status: UInt16 = 0xe9
  /// The sleep type (SLP_TYPx, three bits) that means off, as the guest's object \_S5 says too.
  public static let off: UInt8 = 5
  /// SLP_EN of the control register; the type stands above bit 2.
  static let enable: UInt8 = 1 << 5
}
