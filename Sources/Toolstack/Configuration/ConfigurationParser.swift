// SPDX-License-Identifier: Apache-2.0

/// Parses xl's configuration language into settings, without a look at what the keys mean.
///
///     file    = { [ setting ] separator }
///     setting = identifier ( "=" | "+=" ) value
///     value   = string | number | "[" [ value { "," value } [ "," ] ] "]"
///
/// Within brackets, line ends do not count.
struct ConfigurationParser {
  /// Lists within lists; xl has no use for more than one level.
  static let maximumDepth = 8

  private var lexer: ConfigurationLexer
  private var token: ConfigurationToken
  private var position: SourcePosition
  private(set) var settings: [ConfigurationSetting] = []
  private(set) var warnings: [ConfigurationProblem] = []

  init(bytes: [UInt8], file: String) throws(ConfigurationProblem) {
    lexer = ConfigurationLexer(bytes: bytes, file: file)
    (token, position) = try lexer.next()
  }

  mutating func parse() throws(ConfigurationProblem) {
    while token != .end {
      if token == .separator { try advance() } else { try setting() }
    }
  }

  private mutating func advance() throws(ConfigurationProblem) {
    (token, position) = try lexer.next()
  }

  private mutating func setting() throws(ConfigurationProblem) {
    guard case .identifier(let key) = token else {
      throw lexer.problem("expected a line of the form key = value, found \(token.name)", at: position)
    }
    let keyPosition = position
    try advance()
    let appends = token == .plusEquals
    guard appends || token == .equals else {
      throw lexer.problem("expected '=' after '\(key)', found \(token.name)", at: position)
    }
    try advance()
    let new = try value(depth: 0)
    guard token == .separator || token == .end else {
      throw lexer.problem(
        "expected the end of the line after the value of '\(key)', found \(token.name)", at: position)
    }
    try store(ConfigurationSetting(key: key, value: new, position: keyPosition), appends: appends)
  }

  private mutating func value(depth: Int) throws(ConfigurationProblem) -> ConfigurationValue {
    let start = position
    switch token {
    case .string(let text):
      try advance()
      return ConfigurationValue(content: .string(text), position: start)
    case .integer(let number):
      try advance()
      return ConfigurationValue(content: .integer(number), position: start)
    case .openBracket where depth < Self.maximumDepth:
      return ConfigurationValue(content: .list(try list(depth: depth + 1)), position: start)
    case .openBracket:
      throw lexer.problem("lists are nested too deeply", at: start)
    case .identifier(let text):
      throw lexer.problem("put '\(text)' in quotes", at: start)
    default:
      throw lexer.problem("expected a string, a number or a list, found \(token.name)", at: start)
    }
  }

  /// The elements of a list, from its opening to behind its closing bracket.
  private mutating func list(depth: Int) throws(ConfigurationProblem) -> [ConfigurationValue] {
    let start = position
    try advance()
    var elements: [ConfigurationValue] = []
    try skipLineEnds()
    while token != .closeBracket {
      if token == .end { throw lexer.problem("the list that begins here has no closing ']'", at: start) }
      elements.append(try value(depth: depth))
      try skipLineEnds()
      if token == .comma {
        try advance()
        try skipLineEnds()
      } else if token != .closeBracket, token != .end {
        throw lexer.problem("expected ',' or ']' in the list, found \(token.name)", at: position)
      }
    }
    try advance()
    return elements
  }

  private mutating func skipLineEnds() throws(ConfigurationProblem) {
    while token == .separator { try advance() }
  }

  /// Adds a setting; the last of several with one key counts, and `+=` joins strings and lists.
  private mutating func store(_ new: ConfigurationSetting, appends: Bool) throws(ConfigurationProblem) {
    guard let index = settings.firstIndex(where: { $0.key == new.key }) else {
      settings.append(new)
      return
    }
    let old = settings[index]
    guard appends else {
      warnings.append(
        lexer.problem(
          "'\(new.key)' was set before, on line \(old.position.line); this line counts", at: new.position))
      settings[index] = new
      return
    }
    switch (old.value.content, new.value.content) {
    case (.string(let first), .string(let second)):
      settings[index].value.content = .string(first + second)
    case (.list(let first), .list(let second)):
      settings[index].value.content = .list(first + second)
    default:
      throw lexer.problem(
        "+= cannot add \(new.value.content.kind) to \(old.value.content.kind); "
          + "'\(new.key)' was set on line \(old.position.line)", at: new.position)
    }
  }
}
