// Ends this process some seconds after its parent has gone, as the compiled module of this name does.
"use strict";

const GRACE = 6000;

exports.start = (parent) => {
  const timer = setInterval(() => {
    try {
      process.kill(parent, 0);
    } catch {
      clearInterval(timer);
      setTimeout(() => process.exit(87), GRACE).unref();
    }
  }, 1000);
  timer.unref();
};
