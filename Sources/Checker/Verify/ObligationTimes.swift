// SPDX-License-Identifier: Apache-2.0

/// What obligations cost the first solver: making each question and having it answered.
public struct ObligationTimes: Sendable, Hashable, Encodable, CustomStringConvertible {
  /// Of those that were asked, in ascending order, in milliseconds.
  public private(set) var milliseconds: [Double] = []
  /// Those whose answers were remembered.
  public private(set) var remembered = 0

  public init() {}

  init(_ proofs: [Proof]) {
    milliseconds = proofs.filter { !$0.isCached }.map(\.milliseconds).sorted()
    remembered = proofs.count - milliseconds.count
  }

  /// All of several together.
  public init(of parts: [ObligationTimes]) {
    milliseconds = parts.flatMap(\.milliseconds).sorted()
    remembered = parts.reduce(0) { $0 + $1.remembered }
  }

  /// The middle one, or the mean of the two in the middle; nil if nothing was asked.
  public var median: Double? {
    guard !milliseconds.isEmpty else { return nil }
    let middle = milliseconds.count / 2
    return milliseconds.count.isMultiple(of: 2)
      ? (milliseconds[middle - 1] + milliseconds[middle]) / 2 : milliseconds[middle]
  }

  /// In milliseconds, of all that were asked.
  public var total: Double { milliseconds.reduce(0, +) }

  /// `1812 obligations asked: median 3.2 ms, slowest 812 ms, 21.0 s together; 12 remembered`
  public var description: String {
    guard let median, let slowest = milliseconds.last else {
      return "no obligations asked; \(remembered) remembered"
    }
    return "\(milliseconds.count) obligations asked: median \(Self.tenths(median)) ms,"
      + " slowest \(Self.tenths(slowest)) ms, \(Self.tenths(total / 1000)) s together; \(remembered) remembered"
  }

  private static func tenths(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

  private enum CodingKeys: String, CodingKey { case asked, remembered, median, slowest, total }

  /// As figures: a list of thousands says less.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(milliseconds.count, forKey: .asked)
    try container.encode(remembered, forKey: .remembered)
    try container.encodeIfPresent(median, forKey: .median)
    try container.encodeIfPresent(milliseconds.last, forKey: .slowest)
    try container.encode(total, forKey: .total)
  }
}
