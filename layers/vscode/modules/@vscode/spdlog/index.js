// Log files, with what VS Code's server uses of the compiled module of this name: lines are appended
// to a file, which becomes NAME.1.log when it is too large, that NAME.2.log, and so on.
"use strict";

const fs = require("fs");
const path = require("path");

const LEVELS = ["trace", "debug", "info", "warning", "error", "critical", "off"];

class Logger {
  constructor(file, size, count) {
    this.file = file;
    this.size = size;
    this.count = count;
    this.level = 2;
    this.isPlain = false;
    fs.mkdirSync(path.dirname(file), { recursive: true });
    this.written = fs.existsSync(file) ? fs.statSync(file).size : 0;
  }

  log(level, message) {
    if (level < this.level) return;
    const time = new Date().toISOString().replace("T", " ").replace("Z", "");
    const line = this.isPlain ? `${message}` : `${time} [${LEVELS[level]}] ${message}\n`;
    try {
      if (this.written + line.length > this.size) this.rotate();
      fs.appendFileSync(this.file, line);
      this.written += line.length;
    } catch {
      // A log that cannot be written is no reason to stop.
    }
  }

  rotate() {
    const { dir, name, ext } = path.parse(this.file);
    const older = (number) => (number ? path.join(dir, `${name}.${number}${ext}`) : this.file);
    for (let number = this.count - 1; number >= 1; number--) {
      if (fs.existsSync(older(number - 1))) fs.renameSync(older(number - 1), older(number));
    }
    this.written = 0;
  }

  trace(message) { this.log(0, message); }
  debug(message) { this.log(1, message); }
  info(message) { this.log(2, message); }
  warn(message) { this.log(3, message); }
  error(message) { this.log(4, message); }
  critical(message) { this.log(5, message); }
  getLevel() { return this.level; }
  setLevel(level) { this.level = level; }
  setPattern() {}
  clearFormatters() { this.isPlain = true; }
  flush() {}
  drop() {}
}

const rotating = (name, file, size, count) => new Logger(file, size, count);

exports.version = 0;
exports.setLevel = () => {};
exports.setFlushOn = () => {};
exports.shutdown = () => {};
exports.createRotatingLogger = async (...given) => rotating(...given);
exports.createAsyncRotatingLogger = async (...given) => rotating(...given);
