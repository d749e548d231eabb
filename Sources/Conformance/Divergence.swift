// SPDX-License-Identifier: Apache-2.0

/// A step at which an implementation did what its specification does not allow.
public struct Divergence: Error, Sendable, CustomStringConvertible {
  /// The machine: "Ring", "Grants".
  public var machine: String
  /// What was being done, in words.
  public var step: String
  /// What is wrong.
  public var reason: String
  /// The specification's state before the step, a line for each variable that is not as it began.
  public var specification: [String]
  /// The implementation's state, or how it differs.
  public var implementation: [String]
  /// The steps before, the latest last.
  public var trace: [String]

  public init(
    machine: String, step: String, reason: String, specification: [String] = [],
    implementation: [String] = [],
    trace: [String] = []
  ) {
    self.machine = machine
    self.step = step
    self.reason = reason
    self.specification = specification
    self.implementation = implementation
    self.trace = trace
  }

  public var description: String {
    var lines = ["\(machine) differs from its specification at \(step): \(reason)"]
    func section(_ title: String, _ content: [String]) {
      if content.isEmpty { return }
      lines.append("\(title):")
      lines += content.map { "  \($0)" }
    }
    section("steps before", trace)
    section("the specification's state", specification)
    section("the implementation's state", implementation)
    return lines.joined(separator: "\n")
  }
}
