{
  # mq_native       the addon (Node-API, so one build serves every Node version); a new .cc file is
  #                 found only when this file is newer than the Makefile
  # mq_load         load generator over MQP, when native/load/ is there (no Node in it)
  # mq_direct       the same load straight into librdkafka, when native/direct/ is there
  # mq_native_test  GoogleTest over native/core; only with MQ_NATIVE_TEST=1 (scripts/native-test.mjs)
  "variables": {
    # An environment switch and not a -D: node-gyp hands unknown -D values to every target.
    "native_test": "<!(node -p \"process.env.MQ_NATIVE_TEST === '1' ? 1 : 0\")",
    "has_load": "<!(node native/gyp-vars.cjs has native/load)",
    "has_direct": "<!(node native/gyp-vars.cjs has native/direct)",
  },
  "target_defaults": {
    "cflags": ["-O3", "-Wall", "-Wextra", "-Wno-unused-parameter", "-fvisibility=hidden"],
    # Node's own flags say -O3 and gnu++17 or later depending on version; the house says C++17.
    "cflags_cc": ["-std=c++17", "-fno-exceptions", "-fno-rtti"],
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
    "include_dirs": ["native"],
    "defines": ["NDEBUG"],
  },
  "targets": [
    {
      "target_name": "mq_native",
      "sources": ["<!@(node native/gyp-vars.cjs sources)"],
      "include_dirs": [
        "<!(node -p \"require('node-addon-api').include_dir\")",
        "<!(node native/gyp-vars.cjs include)",
      ],
      "defines": ["NAPI_VERSION=8", "NAPI_DISABLE_CPP_EXCEPTIONS"],
      # The shared library, not the archive: a process that also loads node-rdkafka then has one
      # librdkafka (same file, mapped once) and no second copy whose symbols could be mixed up.
      "libraries": [
        "<!(node native/gyp-vars.cjs library)",
        "-Wl,-rpath,'$$ORIGIN/<!(node native/gyp-vars.cjs rpath)'",
      ],
    },
  ],
  "conditions": [
    ["has_load==1", {
      "targets": [
        {
          "target_name": "mq_load",
          "type": "executable",
          "sources": [
            "<!@(node native/gyp-vars.cjs dir native/load)",
            "<!@(node native/gyp-vars.cjs core)",
          ],
          "libraries": ["-lpthread"],
        },
      ],
    }],
    ["has_direct==1", {
      "targets": [
        {
          "target_name": "mq_direct",
          "type": "executable",
          "sources": [
            "<!@(node native/gyp-vars.cjs dir native/direct)",
            "<!@(node native/gyp-vars.cjs core)",
          ],
          "include_dirs": ["<!(node native/gyp-vars.cjs include)"],
          "libraries": [
            "<!(node native/gyp-vars.cjs library)",
            "-Wl,-rpath,'$$ORIGIN/<!(node native/gyp-vars.cjs rpath)'",
            "-lpthread",
          ],
        },
      ],
    }],
    ["native_test==1", {
      "targets": [
        {
          "target_name": "mq_native_test",
          "type": "executable",
          "sources": [
            "<!@(node native/gyp-vars.cjs dir test/native)",
            "<!@(node native/gyp-vars.cjs core)",
          ],
          # GoogleTest's headers need both.
          "cflags_cc!": ["-fno-exceptions", "-fno-rtti"],
          # Where only GoogleTest's sources are installed, test/native/main.cc compiles them in.
          "cflags": ["<!@(node native/gyp-vars.cjs gtest-cflags)"],
          "ldflags": ["<!@(node native/gyp-vars.cjs gtest-ldflags)"],
          "libraries": ["<!@(node native/gyp-vars.cjs gtest-libraries)"],
        },
      ],
    }],
  ],
}
