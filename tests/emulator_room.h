/* emulator_room.h - room in a program for what emulator_patch.py puts there.  Included once, by programs for the emulator. */
__asm__(".pushsection .text\n"
        ".globl emulator_room, emulator_room_end\n"
        "emulator_room: .skip 1 << 20\n"
        "emulator_room_end:\n"
        ".popsection\n"
        ".pushsection .data\n"
        ".globl emulator_save\n"
        ".balign 64\n"
        "emulator_save: .skip 64\n"
        ".popsection\n");
