#pragma once
/*
 * tools.h: subcommands that look at things and end. Each returns the process' exit status and has
 * said on stderr what went wrong.
 */

int tool_config(int argc, char **argv);
int tool_block(int argc, char **argv);
