// SPDX-License-Identifier: Apache-2.0

/// The words of xl's configuration language.
enum ConfigurationToken: Sendable, Hashable {
  case identifier(String)
  case string(String)
  case integer(Int)
  case equals
  case plusEquals
  case comma
  case openBracket
  case closeBracket
  /// A line's end, or a semicolon.
  case separator
  case end

  /// How a message names the token.
  var name: String {
    switch self {
    case .identifier(let text): "'\(text)'"
    case .string(let text): "the string \"\(text)\""
    case .integer(let number): "the number \(number)"
    case .equals: "'='"
    case .plusEquals: "'+='"
    case .comma: "','"
    case .openBracket: "'['"
    case .closeBracket: "']'"
    case .separator: "the end of the line"
    case .end: "the end of the file"
    }
  }
}

/// Cuts a configuration file into tokens, skipping blanks and comments.
struct ConfigurationLexer {
  let bytes: [UInt8]
  let file: String
  private var index = 0
  private var line = 1
  private var lineStart = 0

  init(bytes: [UInt8], file: String) {
    self.bytes = bytes
    self.file = file
  }

  /// Where the next byte stands.
  private var position: SourcePosition { SourcePosition(line: line, column: index - lineStart + 1) }
  private var peek: UInt8? { index < bytes.count ? bytes[index] : nil }

  /// The next token and where it begins; `.end` for ever after the last one.
  mutating func next() throws(ConfigurationProblem) -> (token: ConfigurationToken, position: SourcePosition) {
    skipBlanks()
    let start = position
    guard let byte = peek else { return (.end, start) }
    switch byte {
    case UInt8(ascii: "\n"):
      index += 1
      line += 1
      lineStart = index
      return (.separator, start)
    case UInt8(ascii: "'"), UInt8(ascii: "\""):
      return (.string(try quoted(by: byte, from: start)), start)
    case UInt8(ascii: "0")...UInt8(ascii: "9"):
      return (.integer(try number(from: start)), start)
    case UInt8(ascii: "+"):
      index += 1
      guard peek == UInt8(ascii: "=") else { throw problem("unexpected '+'; did you mean '+='?", at: start) }
      index += 1
      return (.plusEquals, start)
    default:
      if Self.isIdentifier(byte) { return (.identifier(word()), start) }
      guard let token = Self.punctuation[byte] else {
        throw problem("unexpected \(Self.show(byte)); put text in quotes", at: start)
      }
      index += 1
      return (token, start)
    }
  }

  private static let punctuation: [UInt8: ConfigurationToken] = [
    UInt8(ascii: "="): .equals, UInt8(ascii: ","): .comma, UInt8(ascii: ";"): .separator,
    UInt8(ascii: "["): .openBracket, UInt8(ascii: "]"): .closeBracket,
  ]

  private mutating func skipBlanks() {
    while let byte = peek {
      if byte == UInt8(ascii: "#") {
        while let other = peek, other != UInt8(ascii: "\n") { index += 1 }
      } else if byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\r") {
        index += 1
      } else {
        return
      }
    }
  }

  /// Letters, digits and underscores from here on.
  private mutating func word() -> String {
    let start = index
    while let byte = peek, Self.isIdentifier(byte) { index += 1 }
    return String(decoding: bytes[start..<index], as: UTF8.self)
  }

  private mutating func number(from start: SourcePosition) throws(ConfigurationProblem) -> Int {
    let text = word()
    let value =
      text.hasPrefix("0x") || text.hasPrefix("0X") ? Int(text.dropFirst(2), radix: 16) : Int(text)
    guard let value else {
      throw problem("'\(text)' is no number; put text in quotes", at: start)
    }
    return value
  }

  /// A string's content; strings end on the line where they begin.
  private mutating func quoted(by quote: UInt8, from start: SourcePosition) throws(ConfigurationProblem)
    -> String
  {
    index += 1
    var content: [UInt8] = []
    while let byte = peek, byte != UInt8(ascii: "\n") {
      if byte == quote {
        index += 1
        return try text(content, at: start)
      }
      content.append(byte == UInt8(ascii: "\\") ? try escape() : byte)
      index += 1
    }
    throw problem("the string that begins here has no closing \(Self.show(quote)) on its line", at: start)
  }

  private func text(_ content: [UInt8], at start: SourcePosition) throws(ConfigurationProblem) -> String {
    guard !content.contains(0) else {
      throw problem("the string holds a zero byte; remove it", at: start)
    }
    guard let text = String(validating: content, as: UTF8.self) else {
      throw problem("the string is not valid UTF-8; save the file as UTF-8", at: start)
    }
    return text
  }

  /// Reads `\x` and leaves the index on `x`.
  private mutating func escape() throws(ConfigurationProblem) -> UInt8 {
    let start = position
    index += 1
    switch peek {
    case UInt8(ascii: "n"): return UInt8(ascii: "\n")
    case UInt8(ascii: "t"): return UInt8(ascii: "\t")
    case UInt8(ascii: "r"): return UInt8(ascii: "\r")
    case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): return bytes[index]
    default: throw problem("unknown escape; write \\\\ for a backslash", at: start)
    }
  }

  func problem(_ message: String, at position: SourcePosition?) -> ConfigurationProblem {
    ConfigurationProblem(file: file, position: position, message: message)
  }

  private static func isIdentifier(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
      true
    default: false
    }
  }

  private static func show(_ byte: UInt8) -> String {
    (0x21...0x7e).contains(byte) ? "'\(Character(UnicodeScalar(byte)))'" : "byte 0x\(String(byte, radix: 16))"
  }
}
