/* page_files.c - passes/page/ and third_party/dagre/ as bytes of the program: the page around its data (page.h). */

#define FILE_OF(path) ".incbin \"" DCC_SOURCE_FOLDER "/" path "\"\n"
#define TEXT(text) ".ascii \"" text "\"\n"
#define BYTES(name, what) ".globl " name "\n.hidden " name "\n" name ":\n" what ".globl " name "_end\n.hidden " name "_end\n" name "_end:\n"
#define SCRIPT(path) TEXT("</script>\\n<script>\\n") FILE_OF("passes/page/" path)

__asm__(".pushsection .rodata\n"
        BYTES("page_front",
              FILE_OF("passes/page/head.html")
              TEXT("<style>\\n") FILE_OF("passes/page/page.css") TEXT("</style>\\n")
              FILE_OF("passes/page/body.html")
              TEXT("<script type=\\\"application/json\\\" id=\\\"data\\\">\\n"))
        BYTES("page_back",
              TEXT("</script>\\n<script>\\n/*\\n") FILE_OF("third_party/dagre/LICENSE") TEXT("*/\\n") FILE_OF("third_party/dagre/dagre.min.js")
              SCRIPT("model.js") SCRIPT("levels.js") SCRIPT("graph.js") SCRIPT("panels.js") SCRIPT("pictures.js") SCRIPT("main.js")
              TEXT("</script>\\n</body>\\n</html>\\n"))
        ".popsection\n");
