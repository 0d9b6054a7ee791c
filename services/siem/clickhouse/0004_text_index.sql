-- What bare words of a search are looked up in: whole words, without regard to case. Only hasAllTokens and hasAnyTokens
-- on the bare column use it. Parts that are older get theirs when they merge; until then they are scanned, with the same
-- result.
ALTER TABLE logs
    ADD INDEX IF NOT EXISTS message_words message
        TYPE text(tokenizer = splitByNonAlpha, preprocessor = lowerUTF8(message)),
    ADD INDEX IF NOT EXISTS command_line_words process_command_line
        TYPE text(tokenizer = splitByNonAlpha, preprocessor = lowerUTF8(process_command_line))
